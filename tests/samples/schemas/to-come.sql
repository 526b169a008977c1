-- No Nix that is known: what one to come might do.
create table BuildTraceV9 (
    id integer primary key autoincrement not null,
    drvPath text not null,
    outputPath integer not null,
    note text default 'none',
    foreign key (outputPath) references ValidPaths(id) on delete cascade
);
create unique index IndexBuildTraceV9 on BuildTraceV9(drvPath);
alter table ValidPaths add column tier integer not null default 3;
alter table Refs add column kind text;
create index IndexTier on ValidPaths(tier);
insert into SchemaMigrations values ('20291231-build-trace-v9'), ('20300101-tiers');
