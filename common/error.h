/* The error domain of clusnap.
 *
 * Every fallible function takes `GError **error` last.  The code says what a
 * caller can do about it; the message names the object in quotes, and each
 * layer that knows more prefixes it (g_prefix_error).  Codes travel over the
 * RPC by name (never by number) and choose the exit status of the CLI.
 */
#ifndef CS_COMMON_ERROR_H
#define CS_COMMON_ERROR_H

#include <glib.h>
#include <stdbool.h>

/* X (symbol, name on the wire, exit status of the CLI) */
#define CS_ERROR_TABLE(X)                                                                          \
  X (FAILED, "failed", 1)           /* nothing more precise fits */                                \
  X (INVALID, "invalid", 2)         /* bad argument, bad file from the user */                     \
  X (NOT_FOUND, "not-found", 3)     /* no such domain, cluster, snapshot */                        \
  X (EXISTS, "exists", 4)           /* the name is taken */                                        \
  X (BUSY, "busy", 5)               /* somebody else is at it: try later */                        \
  X (STATE, "state", 6)             /* not running, not shut off, ... */                           \
  X (REFUSED, "refused", 7)         /* cannot be captured: says why */                             \
  X (UNSUPPORTED, "unsupported", 8) /* kernel or QEMU too old */                                   \
  X (DEADLINE, "deadline", 9)       /* took too long and was undone */                             \
  X (NO_SPACE, "no-space", 10)      /* the store or a disk is full */                              \
  X (CORRUPT, "corrupt", 11)        /* a stored object fails its checksum */                       \
  X (PERMISSION, "permission", 12)  /* not root, not ours */                                       \
  X (GONE, "gone", 13)              /* QEMU or the peer went away */                               \
  X (CANCELLED, "cancelled", 14)    /* Ctrl-C, connection closed */                                \
  X (IO, "io", 15)                  /* any other system error */                                   \
  X (RESTARTED, "restarted", 16)    /* done, but a VM had to be started anew for it */

typedef enum
{
#define X(symbol, name, status) CS_ERROR_##symbol,
  CS_ERROR_TABLE (X)
#undef X
} CsError;

#define CS_ERROR (cs_error_quark ())
GQuark cs_error_quark (void);

/* The wire name of @code, "failed" for an unknown one.  Static string. */
const char *cs_error_name (int code);

/* The code of wire name @name, CS_ERROR_FAILED for an unknown one. */
CsError cs_error_from_name (const char *name);

/* The CLI's exit status for @error (which may be of any domain). */
int cs_error_exit_status (const GError *error);

/* Sets @error from errno value @errnum: "<formatted text>: <strerror>".
 * ENOSPC and EDQUOT become NO_SPACE, ENOENT NOT_FOUND, EACCES and EPERM
 * PERMISSION, ESRCH GONE, ECANCELED CANCELLED, all else IO.
 * Returns false, so that it can be the operand of return. */
bool cs_error_set_errno (GError **error, int errnum, const char *format, ...) G_GNUC_PRINTF (3, 4);

#endif
