/* Test doubles of the store's backend: one in memory, and one that wraps another and
 * lets a hook look at every operation, fail it, delay it, or end the process there. */
#ifndef CS_TESTS_BACKEND_DOUBLE_H
#define CS_TESTS_BACKEND_DOUBLE_H

#include "images/backend.h"

CsBackend *backend_memory_new (void);

/* Called before an operation ("open", "read", "begin", "write", "publish", "list", "remove") and,
 * where it succeeded and changed something ("begin", "publish", "remove"), after it with @after.
 * Returns 0 to go on or an errno value to fail with; FAULT_SHORT: only half of the bytes are
 * written, then ENOSPC.  May be called from many threads. */
#define FAULT_SHORT (-1)
typedef int (*FaultHook) (const char *operation, const char *name, bool after, void *data);

/* Takes @inner. */
CsBackend *backend_faulty_new (CsBackend *inner, FaultHook hook, void *data);

#endif
