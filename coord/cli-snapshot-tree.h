/* The history of snapshots, as people see it. */
#ifndef CS_COORD_CLI_SNAPSHOT_TREE_H
#define CS_COORD_CLI_SNAPSHOT_TREE_H

#include "common/json.h"

/* A new array of copies of @rows (snapshot.list), per cluster: every snapshot behind its parent,
 * the older branch first, its name indented below it and the one that running VMs are based on
 * marked with " *".  Without its parent (none, or deleted) a snapshot is a root.  One whose VMs
 * have different parents stands below the latest of them; behind its name it says "(and ...)" of
 * the others, and "parent" becomes all of them. */
json_object *cs_snapshot_tree (json_object *rows);

#endif
