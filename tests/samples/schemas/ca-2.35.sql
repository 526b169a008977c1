CREATE TABLE BuildTraceV3 (
    id integer primary key autoincrement not null,
    drvPath text not null,
    outputName text not null, -- symbolic output id, usually "out"
    outputPath text not null,
    signatures text -- space-separated list
);
CREATE INDEX IndexBuildTraceV3 on BuildTraceV3(drvPath, outputName);
insert into SchemaMigrations values ('20251017-ca-derivations');
