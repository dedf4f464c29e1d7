#ifndef CS_COORD_CLI_RECOVER_GRAPH_H
#define CS_COORD_CLI_RECOVER_GRAPH_H

#include "coord/recover-plan.h"

/* What @plan does with each VM of @cluster, as a graph for Graphviz; @now: us since 1970. */
GString *cs_recover_graph (const char *cluster, const CsRecoverPlan *plan, gint64 now);

#endif
