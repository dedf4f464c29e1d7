/* The jobs of QEMU that fill lazy disks (lazy-disks.h). */
#include "config.h"

#include "vmm/lazy-disks-private.h"

#include "common/error.h"
#include "vmm/block-graph.h"
#include "vmm/disk-file.h"
#include "vmm/disk-private.h"
#include "vmm/libvirt.h"

#include <libvirt/virterror.h>

#include <string.h>

#define JOB CS_DISK_PREFIX "stream%u"
#define JOB_PREFIX CS_DISK_PREFIX "stream"

typedef struct
{
  CsLazyDisks *lazy;
  CsMonitor *monitor;
  CsBlockGraph *graph;
  virDomainPtr domain; /* NULL: a bare QEMU */
} Look;

static void
look_clear (Look *look)
{
  cs_block_graph_free (look->graph);
  if (look->domain != NULL)
    virDomainFree (look->domain);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Look, look_clear)

static bool
look_for_domain (Look *look, GError **error)
{
  const CsLazyDisks *lazy = look->lazy;
  if (lazy->uri == NULL)
    return true;
  /* The domain holds a reference to its connection. */
  g_autoptr (virConnect) connection = cs_libvirt_connect (lazy->uri, error);
  if (connection == NULL)
    return false;
  look->domain = virDomainLookupByUUIDString (connection, lazy->uuid);
  return look->domain != NULL
         || cs_libvirt_set_error (error, "%s", cs_monitor_name (look->monitor));
}

static bool
look_begin (Look *look, GError **error)
{
  look->graph = cs_block_graph_load (look->monitor, error);
  return look->graph != NULL;
}

/* The qcow2 node of the image; NULL: the disk was taken out. */
static const char *
find_node (const Look *look, const CsLazyDisk *disk)
{
  g_autoptr (GPtrArray) nodes = cs_block_graph_nodes (look->graph);
  for (guint i = 0; i < nodes->len; i++)
    {
      const char *node = nodes->pdata[i];
      if (g_strcmp0 (cs_json_string (cs_block_graph_info (look->graph, node), "drv"), "qcow2") != 0)
        continue;
      json_object *protocol =
          cs_block_graph_info (look->graph, cs_block_graph_protocol (look->graph, node));
      const char *file = cs_json_string (protocol, "file");
      g_autofree char *absolute =
          file != NULL ? cs_disk_file_absolute (cs_monitor_pid (look->monitor), file, NULL) : NULL;
      if (g_strcmp0 (absolute, disk->filename) == 0)
        return node;
    }
  return NULL;
}

static bool
still_backed (const Look *look, const char *node)
{
  json_object *image = cs_member (cs_block_graph_info (look->graph, node), "image");
  const char *backing = cs_json_string (image, "backing-filename");
  return backing != NULL && cs_lazy_disks_is_ours (backing);
}

bool
cs_lazy_disks_check (CsLazyDisks *lazy, CsMonitor *monitor, GError **error)
{
  g_auto (Look) look = { .lazy = lazy, .monitor = monitor };
  if (!look_begin (&look, error))
    return false;
  for (guint i = 0; i < lazy->disks->len; i++)
    {
      const CsLazyDisk *disk = lazy->disks->pdata[i];
      if (disk->aside != NULL)
        continue;
      const char *node = find_node (&look, disk);
      if (node != NULL && cs_block_graph_child (look.graph, node, "backing") != NULL)
        continue;
      g_set_error (error, CS_ERROR, CS_ERROR_FAILED,
                   "%s: disk '%s' was opened without its stored content: restore with --eager",
                   cs_monitor_name (monitor), disk->name);
      return false;
    }
  return true;
}

bool
cs_lazy_disks_insert (CsLazyDisks *lazy, CsMonitor *monitor, GError **error)
{
  for (guint i = 0; i < lazy->disks->len; i++)
    {
      CsLazyDisk *disk = lazy->disks->pdata[i];
      g_autofree char *backing = cs_lazy_disks_backing (lazy, disk->name);
      if (disk->aside != NULL
          && !cs_lazy_aside_insert (disk->aside, backing, monitor, &disk->complete, error))
        return false;
    }
  return true;
}

/* Whether libvirt pulls into @disk; its offset. */
static bool
is_pulled (const Look *look, const CsLazyDisk *disk, guint64 *offset, GError **error)
{
  virDomainBlockJobInfo info = { 0 };
  int found = virDomainGetBlockJobInfo (look->domain, disk->filename, &info, 0);
  /* The disk was taken out, perhaps. */
  if (found < 0 && virGetLastErrorCode () != VIR_ERR_INVALID_ARG)
    cs_libvirt_set_error (error, "disk '%s'", disk->name);
  *offset = info.cur;
  return found > 0;
}

/* The offset of disk @i's job; false when there is none. */
static bool
job_runs (const Look *look, guint i, guint64 *offset, GError **error)
{
  *offset = 0;
  if (look->domain != NULL)
    return is_pulled (look, look->lazy->disks->pdata[i], offset, error);
  g_autoptr (CsJson) jobs = NULL;
  g_autofree char *id = g_strdup_printf (JOB, i);
  if (!cs_monitor_execute (look->monitor, "query-block-jobs", NULL, &jobs, error))
    return false;
  for (gsize j = 0; j < cs_array_length (jobs); j++)
    {
      json_object *job = json_object_array_get_idx (jobs, j);
      if (g_strcmp0 (cs_json_string (job, "device"), id) != 0)
        continue;
      *offset = (guint64)cs_member_int (job, "offset");
      return true;
    }
  return false;
}

static bool
start_job (const Look *look, guint i, const char *node, GError **error)
{
  const CsLazyDisk *disk = look->lazy->disks->pdata[i];
  if (look->domain != NULL)
    return virDomainBlockPull (look->domain, disk->filename, 0, 0) == 0
           || cs_libvirt_set_error (error, "disk '%s' cannot be filled", disk->name);
  g_autofree char *id = g_strdup_printf (JOB, i);
  return cs_monitor_execute (look->monitor, "block-stream",
                             cs_json_strings ("job-id", id, "device", node, NULL), NULL, error);
}

/* The job has gone before its end: something could not be read or written, and the guest got the
 * same error where it asked for it. */
static bool
tell_failure (CsLazyDisk *disk, const CsLazyDisks *lazy, GError **error)
{
  if (disk->told)
    return true;
  disk->told = true;
  g_set_error (error, CS_ERROR, CS_ERROR_IO,
               "disk '%s' ('%s') could not be filled to its end, its guest may have seen "
               "input/output errors; '%s.log' tells what could not be read",
               disk->name, disk->filename, lazy->socket);
  return false;
}

static bool
step_disk (const Look *look, guint i, guint64 *done, GError **error)
{
  CsLazyDisk *disk = look->lazy->disks->pdata[i];
  guint64 offset;
  g_autoptr (GError) problem = NULL;
  const char *node = disk->complete ? NULL : find_node (look, disk);
  bool runs = node != NULL && job_runs (look, i, &offset, &problem);
  if (problem != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&problem));
      return false;
    }
  if (runs)
    {
      *done += MIN (offset, disk->size);
      return true;
    }
  if (node != NULL && still_backed (look, node))
    {
      bool failed = disk->begun;
      disk->begun = start_job (look, i, node, error);
      return disk->begun && (!failed || tell_failure (disk, look->lazy, error));
    }
  /* Also where it was taken out: that is nobody's business but the user's, and server and root are
   * then kept for it (incomplete). */
  if (node != NULL)
    disk->complete = true;
  *done += disk->complete ? disk->size : 0;
  return true;
}

static bool
step_aside (const Look *look, guint i, guint64 *done, GError **error)
{
  CsLazyDisk *disk = look->lazy->disks->pdata[i];
  bool may_export = true;
  for (guint j = 0; j < look->lazy->disks->len; j++)
    {
      const CsLazyDisk *other = look->lazy->disks->pdata[j];
      may_export =
          may_export && (other->aside == NULL || !cs_lazy_aside_is_exporting (other->aside));
    }
  if (!disk->complete
      && !cs_lazy_aside_step (disk->aside, look->monitor, may_export, &disk->complete, error))
    return false;
  *done += disk->complete ? disk->size : cs_lazy_aside_done (disk->aside);
  return true;
}

/* Nothing else is looked at while one is: block-nodes.h. */
static bool
any_is_pulled (const Look *look, bool *any, guint64 *done, GError **error)
{
  *any = false;
  for (guint i = 0; look->domain != NULL && i < look->lazy->disks->len; i++)
    {
      const CsLazyDisk *disk = look->lazy->disks->pdata[i];
      guint64 offset = disk->size;
      g_autoptr (GError) problem = NULL;
      if (disk->aside != NULL)
        continue;
      if (!disk->complete && job_runs (look, i, &offset, &problem))
        *any = true;
      if (problem != NULL)
        {
          g_propagate_error (error, g_steal_pointer (&problem));
          return false;
        }
      *done += MIN (offset, disk->size);
    }
  if (!*any)
    *done = 0;
  return true;
}

bool
cs_lazy_disks_step (CsLazyDisks *lazy, CsMonitor *monitor, GError **error)
{
  g_auto (Look) look = { .lazy = lazy, .monitor = monitor };
  guint64 done = 0;
  if (g_atomic_int_get (&lazy->complete))
    return true;
  bool pulled;
  if (!cs_lazy_disks_serve (lazy, error) || !look_for_domain (&look, error)
      || !any_is_pulled (&look, &pulled, &done, error))
    return false;
  if (pulled)
    {
      __atomic_store_n (&lazy->done, done, __ATOMIC_RELAXED);
      return true;
    }
  if (!look_begin (&look, error))
    return false;
  /* One that fails does not keep the others. */
  bool ok = true;
  for (guint i = 0; i < lazy->disks->len; i++)
    {
      const CsLazyDisk *disk = lazy->disks->pdata[i];
      bool (*step) (const Look *, guint, guint64 *, GError **) =
          disk->aside != NULL ? step_aside : step_disk;
      ok = step (&look, i, &done, ok ? error : NULL) && ok;
    }
  if (!ok)
    return false;
  __atomic_store_n (&lazy->done, done, __ATOMIC_RELAXED);
  cs_lazy_disks_check_complete (lazy);
  return true;
}

bool
cs_lazy_disks_hold (CsLazyDisks *lazy, CsMonitor *monitor, GError **error)
{
  g_auto (Look) look = { .lazy = lazy, .monitor = monitor };
  if (g_atomic_int_get (&lazy->complete))
    return true;
  if (!look_for_domain (&look, error))
    return false;
  for (guint i = 0; i < lazy->disks->len; i++)
    {
      CsLazyDisk *disk = lazy->disks->pdata[i];
      guint64 offset;
      g_autofree char *id = g_strdup_printf (JOB, i);
      disk->begun = false;
      if (disk->aside != NULL)
        {
          cs_lazy_aside_hold (disk->aside, monitor);
          continue;
        }
      /* One that is ending already refuses: what counts is that it goes. */
      if (!job_runs (&look, i, &offset, NULL))
        continue;
      if (look.domain != NULL)
        virDomainBlockJobAbort (look.domain, disk->filename, 0);
      else
        cs_monitor_execute (monitor, "block-job-cancel", cs_json_strings ("device", id, NULL), NULL,
                            NULL);
    }
  return cs_disk_wait_absent (monitor, "query-block-jobs", "device", JOB_PREFIX, error)
         && cs_disk_wait_absent (monitor, "query-block-jobs", "device", CS_LAZY_ASIDE_JOB, error);
}
