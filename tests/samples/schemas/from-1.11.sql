alter table ValidPaths add column ultimate integer;
alter table ValidPaths add column sigs text;
drop table FailedPaths;
alter table ValidPaths add column ca text;
