/* Nix's schema as rows of sqlite_schema; see schema.h. */
#include "dbgen/database/rows/schema.h"

#include <string.h>

#include "common/cleanup.h"

const struct ul_db_object ul_db_objects[] = {
	{
		.type = "table",
		.name = "ValidPaths",
		.table = "ValidPaths",
		.sql = "CREATE TABLE ValidPaths (\n"
		       "    id               integer primary key autoincrement not null,\n"
		       "    path             text unique not null,\n"
		       "    hash             text not null, -- base16 representation\n"
		       "    registrationTime integer not null,\n"
		       "    deriver          text,\n"
		       "    narSize          integer,\n"
		       "    ultimate         integer, -- null implies \"false\"\n"
		       "    sigs             text, -- space-separated\n"
		       "    ca               text -- if not null, an assertion that the path is content-addressed; see ValidPathInfo\n" UL_DB_ADDED_COLUMN,
		.tree = UL_TREE_VALID_PATHS,
	},
	{
		.type = "index",
		.name = "sqlite_autoindex_ValidPaths_1",
		.table = "ValidPaths",
		.tree = UL_TREE_VALID_PATHS_PATH,
	},
	{
		.type = "table",
		.name = "sqlite_sequence",
		.table = "sqlite_sequence",
		.sql = "CREATE TABLE sqlite_sequence(name,seq)",
		.tree = UL_TREE_SEQUENCE,
	},
	{
		.type = "table",
		.name = "Refs",
		.table = "Refs",
		.sql = "CREATE TABLE Refs (\n"
		       "    referrer  integer not null,\n"
		       "    reference integer not null,\n"
		       "    primary key (referrer, reference),\n"
		       "    foreign key (referrer) references ValidPaths(id) on delete cascade,\n"
		       "    foreign key (reference) references ValidPaths(id) on delete restrict\n"
		       ")",
		.tree = UL_TREE_REFS,
	},
	{
		.type = "index",
		.name = "sqlite_autoindex_Refs_1",
		.table = "Refs",
		.tree = UL_TREE_REFS_KEY,
	},
	{
		.type = "index",
		.name = "IndexReference",
		.table = "Refs",
		.sql = "CREATE INDEX IndexReference on Refs(reference)",
		.tree = UL_TREE_REFERENCE,
	},
	{
		.type = "trigger",
		.name = "DeleteSelfRefs",
		.table = "ValidPaths",
		.sql = "CREATE TRIGGER DeleteSelfRefs before delete on ValidPaths\n"
		       "  begin\n"
		       "    delete from Refs where referrer = old.id and reference = old.id;\n"
		       "  end",
		.tree = UL_TREE_NONE,
	},
	{
		.type = "table",
		.name = "DerivationOutputs",
		.table = "DerivationOutputs",
		.sql = "CREATE TABLE DerivationOutputs (\n"
		       "    drv  integer not null,\n"
		       "    id   text not null, -- symbolic output id, usually \"out\"\n"
		       "    path text not null,\n"
		       "    primary key (drv, id),\n"
		       "    foreign key (drv) references ValidPaths(id) on delete cascade\n"
		       ")",
		.tree = UL_TREE_OUTPUTS,
	},
	{
		.type = "index",
		.name = "sqlite_autoindex_DerivationOutputs_1",
		.table = "DerivationOutputs",
		.tree = UL_TREE_OUTPUTS_KEY,
	},
	{
		.type = "index",
		.name = "IndexDerivationOutputs",
		.table = "DerivationOutputs",
		.sql = "CREATE INDEX IndexDerivationOutputs on DerivationOutputs(path)",
		.tree = UL_TREE_OUTPUTS_PATH,
	},
	{
		.type = "table",
		.name = "SchemaMigrations",
		.table = "SchemaMigrations",
		.sql = "CREATE TABLE SchemaMigrations (migration text primary key not null)",
		.tree = UL_TREE_MIGRATIONS,
	},
	{
		.type = "index",
		.name = "sqlite_autoindex_SchemaMigrations_1",
		.table = "SchemaMigrations",
		.tree = UL_TREE_MIGRATIONS_KEY,
	},
	{
		.type = "table",
		.name = "Realisations",
		.table = "Realisations",
		.sql = "CREATE TABLE Realisations (\n"
		       "    id integer primary key autoincrement not null,\n"
		       "    drvPath text not null,\n"
		       "    outputName text not null, -- symbolic output id, usually \"out\"\n"
		       "    outputPath integer not null,\n"
		       "    signatures text, -- space-separated list\n"
		       "    foreign key (outputPath) references ValidPaths(id) on delete cascade\n"
		       ")",
		.tree = UL_TREE_REALISATIONS,
	},
	{
		.type = "index",
		.name = "IndexRealisations",
		.table = "Realisations",
		.sql = "CREATE INDEX IndexRealisations on Realisations(drvPath, outputName)",
		.tree = UL_TREE_REALISATIONS_KEY,
	},
	{
		.type = "trigger",
		.name = "DeleteSelfRefsViaRealisations",
		.table = "ValidPaths",
		.sql = "CREATE TRIGGER DeleteSelfRefsViaRealisations before delete on ValidPaths\n"
		       "  begin\n"
		       "    delete from RealisationsRefs where realisationReference in (\n"
		       "      select id from Realisations where outputPath = old.id\n"
		       "    );\n"
		       "  end",
		.tree = UL_TREE_NONE,
	},
	{
		.type = "table",
		.name = "RealisationsRefs",
		.table = "RealisationsRefs",
		.sql = "CREATE TABLE RealisationsRefs (\n"
		       "    referrer integer not null,\n"
		       "    realisationReference integer,\n"
		       "    foreign key (referrer) references Realisations(id) on delete cascade,\n"
		       "    foreign key (realisationReference) references Realisations(id) on delete restrict\n"
		       ")",
		.tree = UL_TREE_REALISATION_REFS,
	},
	{
		.type = "index",
		.name = "IndexRealisationsRefsRealisationReference",
		.table = "RealisationsRefs",
		.sql = "CREATE INDEX IndexRealisationsRefsRealisationReference on RealisationsRefs(realisationReference)",
		.tree = UL_TREE_REALISATION_REFS_REFERENCE,
	},
	{
		.type = "index",
		.name = "IndexRealisationsRefs",
		.table = "RealisationsRefs",
		.sql = "CREATE INDEX IndexRealisationsRefs on RealisationsRefs(referrer)",
		.tree = UL_TREE_REALISATION_REFS_REFERRER,
	},
	{
		.type = "index",
		.name = "IndexRealisationsRefsOnOutputPath",
		.table = "Realisations",
		.sql = "CREATE INDEX IndexRealisationsRefsOnOutputPath on Realisations(outputPath)",
		.tree = UL_TREE_REALISATION_OUTPUT,
	},
	{
		.type = "table",
		.name = "BuildTraceV3",
		.table = "BuildTraceV3",
		.sql = "CREATE TABLE BuildTraceV3 (\n"
		       "    id integer primary key autoincrement not null,\n"
		       "    drvPath text not null,\n"
		       "    outputName text not null, -- symbolic output id, usually \"out\"\n"
		       "    outputPath text not null,\n"
		       "    signatures text -- space-separated list\n"
		       ")",
		.tree = UL_TREE_TRACES,
	},
	{
		.type = "index",
		.name = "IndexBuildTraceV3",
		.table = "BuildTraceV3",
		.sql = "CREATE INDEX IndexBuildTraceV3 on BuildTraceV3(drvPath, outputName)",
		.tree = UL_TREE_TRACES_KEY,
	},
};

const size_t ul_db_n_objects = UL_ARRAY_SIZE(ul_db_objects);

const char *const ul_db_migrations[] = {
	"20220326-ca-derivations",
	"20241024-provenance",
	"20251017-ca-derivations",
	"20260309-drop-redundant-indexreferrer",
};

const size_t ul_db_n_migrations = UL_ARRAY_SIZE(ul_db_migrations);

bool ul_db_is_trace(const char *drv_path)
{
	return !strchr(drv_path, ':');
}
