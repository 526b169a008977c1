alter table ValidPaths add column provenance text;
insert into SchemaMigrations values ('20241024-provenance');
