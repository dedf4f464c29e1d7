/* Progress for people, on stderr.
 *
 * On a terminal a stage is one line, rewritten while it lasts, that ends with the time it took;
 * elsewhere a stage is one plain line when it begins. */
#ifndef CS_COORD_CLI_PROGRESS_H
#define CS_COORD_CLI_PROGRESS_H

#include "common/json.h"

typedef struct CsProgress CsProgress;

/* With @enabled false nothing is ever printed. */
CsProgress *cs_progress_new (bool enabled);
/* Ends the line. */
void cs_progress_free (CsProgress *progress);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsProgress, cs_progress_free)

/* A stage begins: number @stage (from 0) of @count. */
void cs_progress_stage (CsProgress *progress, guint stage, guint count, const char *name,
                        const char *sentence);
/* A progress event of the daemon; @data is the CsProgress. */
void cs_progress_event (json_object *event, void *data);

#endif
