insert into SchemaMigrations values ('20220326-ca-derivations');
