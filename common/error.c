#include "config.h"

#include "common/error.h"

#include <errno.h>
#include <stdarg.h>

G_DEFINE_QUARK (cs - error - quark, cs_error)

static const struct
{
  const char *name;
  int exit_status;
} table[] = {
#define X(symbol, name, status) [CS_ERROR_##symbol] = { name, status },
  CS_ERROR_TABLE (X)
#undef X
};

const char *
cs_error_name (int code)
{
  if (code < 0 || (gsize)code >= G_N_ELEMENTS (table))
    return table[CS_ERROR_FAILED].name;
  return table[code].name;
}

CsError
cs_error_from_name (const char *name)
{
  for (gsize i = 0; i < G_N_ELEMENTS (table); i++)
    if (g_strcmp0 (table[i].name, name) == 0)
      return (CsError)i;
  return CS_ERROR_FAILED;
}

int
cs_error_exit_status (const GError *error)
{
  if (error == NULL)
    return 0;
  if (error->domain != CS_ERROR || error->code < 0 || (gsize)error->code >= G_N_ELEMENTS (table))
    return 1;
  return table[error->code].exit_status;
}

static CsError
code_of_errno (int errnum)
{
  switch (errnum)
    {
    case ENOSPC:
    case EDQUOT:
      return CS_ERROR_NO_SPACE;
    case ENOENT:
      return CS_ERROR_NOT_FOUND;
    case EACCES:
    case EPERM:
      return CS_ERROR_PERMISSION;
    case ESRCH:
      return CS_ERROR_GONE;
    case ECANCELED:
      return CS_ERROR_CANCELLED;
    default:
      return CS_ERROR_IO;
    }
}

bool
cs_error_set_errno (GError **error, int errnum, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, CS_ERROR, code_of_errno (errnum), "%s: %s", text, g_strerror (errnum));
  return false;
}
