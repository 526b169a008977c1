drop index if exists IndexReferrer;
insert into SchemaMigrations values ('20260309-drop-redundant-indexreferrer');
