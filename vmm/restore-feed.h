/* Hands a waiting QEMU (-incoming defer) its state and waits until it has loaded it. */
#ifndef CS_VMM_RESTORE_FEED_H
#define CS_VMM_RESTORE_FEED_H

#include "vmm/monitor.h"
#include "vmm/stream.h"

/* Writes the stream; @user_data is the caller's. */
typedef bool (*CsFeedFunc) (CsStream *stream, void *user_data, GError **error);

/* @log_path: where QEMU's own words are looked for when it refuses, or NULL. */
bool cs_restore_feed (CsMonitor *monitor, const char *machine, const char *log_path,
                      CsFeedFunc func, void *user_data, GError **error);

#endif
