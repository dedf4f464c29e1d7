/* Whether an index can be trusted that was written without any fsync.
 *
 * LMDB keeps its file consistent when a process dies, at any moment, but without fsync not
 * when the host does.  The file "state" beside it says "open BOOT-ID" while a process
 * has it open and "clean" once all was flushed: an index is sound if it was closed, or
 * if the host has not been started anew since. */
#ifndef CS_IMAGES_INDEX_STATE_H
#define CS_IMAGES_INDEX_STATE_H

#include <glib.h>
#include <stdbool.h>

bool cs_index_state_is_sound (const char *directory);
bool cs_index_state_set_open (const char *directory, GError **error);
bool cs_index_state_set_clean (const char *directory, GError **error);

#endif
