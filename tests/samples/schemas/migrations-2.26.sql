CREATE TABLE SchemaMigrations (migration text primary key not null);
