/* Names of clusters, VMs and snapshots: they become file names in the store and the state
 * directory, so only what is safe there is one. */
#ifndef CS_COORD_NAME_H
#define CS_COORD_NAME_H

#include <glib.h>
#include <stdbool.h>

#define CS_NAME_MAX 128

/* 1 to 128 bytes of [A-Za-z0-9._-], beginning with a letter or digit.  Errors: INVALID, calling it
 * a @what ("cluster", "snapshot", "VM"). */
bool cs_name_check (const char *what, const char *name, GError **error);

#endif
