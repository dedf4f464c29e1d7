#include "config.h"

#include "vmm/disk-flush.h"

#include "common/error.h"
#include "common/fd.h"
#include "vmm/disk-file.h"
#include "vmm/disk-private.h"

#include <errno.h>

struct CsDiskFlush
{
  GPtrArray *files;
};

typedef struct
{
  char *name;
  int fd;
  int errnum; /* of the last flush */
} File;

static void
file_free (gpointer data)
{
  File *file = data;
  cs_fd_cleanup (&file->fd);
  g_free (file->name);
  g_free (file);
}

CsDiskFlush *
cs_disk_flush_new (void)
{
  CsDiskFlush *flush = g_new0 (CsDiskFlush, 1);
  flush->files = g_ptr_array_new_with_free_func (file_free);
  return flush;
}

void
cs_disk_flush_free (CsDiskFlush *flush)
{
  if (flush == NULL)
    return;
  g_ptr_array_unref (flush->files);
  g_free (flush);
}

/* A file that cannot be opened is left out: flushing is a matter of speed only. */
static void
add_file (CsDiskFlush *flush, json_object *protocol, pid_t pid)
{
  const char *driver = cs_json_string (protocol, "drv");
  const char *name = cs_json_string (protocol, "file");
  json_object *cache = cs_member (protocol, "cache");
  bool local = g_strcmp0 (driver, "file") == 0 || g_strcmp0 (driver, "host_device") == 0;
  if (!local || name == NULL || cs_member_true (cache, "direct")
      || cs_member_true (cache, "no-flush"))
    return;
  int fd = cs_disk_file_open (pid, name, NULL);
  if (fd < 0)
    return;
  File *file = g_new0 (File, 1);
  file->name = g_strdup (name);
  file->fd = fd;
  g_ptr_array_add (flush->files, file);
}

void
cs_disk_flush_add (CsDiskFlush *flush, const CsBlockGraph *graph, pid_t pid, const char *node)
{
  guint limit = 1024;
  for (; node != NULL && limit-- > 0; node = cs_block_graph_below (graph, node))
    {
      json_object *info = cs_block_graph_info (graph, cs_block_graph_protocol (graph, node));
      add_file (flush, info, pid);
    }
}

static gpointer
flush_file (gpointer data)
{
  File *file = data;
  file->errnum = fdatasync (file->fd) < 0 ? errno : 0;
  return NULL;
}

bool
cs_disk_flush_run (CsDiskFlush *flush, GError **error)
{
  g_autofree GThread **threads = g_new0 (GThread *, flush->files->len + 1);
  bool ok = true;
  for (guint i = 1; i < flush->files->len; i++)
    threads[i] = g_thread_new ("disk-flush", flush_file, flush->files->pdata[i]);
  if (flush->files->len > 0)
    flush_file (flush->files->pdata[0]);
  for (guint i = 0; i < flush->files->len; i++)
    {
      const File *file = flush->files->pdata[i];
      if (i > 0)
        g_thread_join (threads[i]);
      /* EINVAL: something that needs no flushing. */
      if (ok && file->errnum != 0 && file->errnum != EINVAL)
        ok = cs_error_set_errno (error, file->errnum, "cannot flush '%s'", file->name);
    }
  return ok;
}
