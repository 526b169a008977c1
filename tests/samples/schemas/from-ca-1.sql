create table Realisations (
    drvPath text not null,
    outputName text not null,
    outputPath integer not null,
    signatures text,
    primary key (drvPath, outputName),
    foreign key (outputPath) references ValidPaths(id) on delete cascade
);
create table Realisations2 (
                    id integer primary key autoincrement not null,
                    drvPath text not null,
                    outputName text not null, -- symbolic output id, usually "out"
                    outputPath integer not null,
                    signatures text, -- space-separated list
                    foreign key (outputPath) references ValidPaths(id) on delete cascade
                );
drop table Realisations;
alter table Realisations2 rename to Realisations;
CREATE INDEX IndexRealisations on Realisations(drvPath, outputName);
CREATE TABLE RealisationsRefs (
    referrer integer not null,
    realisationReference integer,
    foreign key (referrer) references Realisations(id) on delete cascade,
    foreign key (realisationReference) references Realisations(id) on delete restrict
);
