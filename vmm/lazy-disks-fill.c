/* The jobs of QEMU that fill lazy disks (lazy-disks.h). */
#include "config.h"

#include "vmm/lazy-disks-private.h"

#include "common/error.h"
#include "vmm/block-graph.h"
#include "vmm/disk-file.h"
#include "vmm/disk-private.h"
#include "vmm/libvirt.h"

#include <string.h>

#define JOB CS_DISK_PREFIX "stream%u"
#define JOB_PREFIX CS_DISK_PREFIX "stream"
/* libvirt's names, without the disk's. */
#define LIBVIRT_JOBS "pull-", "copy-"

/* Of a copy that does not get on. */
#define COPY_SECONDS 30
#define POLL_US 5000

typedef struct
{
  CsLazyDisks *lazy;
  CsMonitor *monitor;
  CsBlockGraph *graph;
  virDomainPtr domain; /* NULL: a bare QEMU */
  bool pulls;          /* libvirt was told to fill a disk */
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
find_domain (Look *look, GError **error)
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
  return look->graph != NULL && find_domain (look, error);
}

/* The qcow2 node of the image that the guest writes to; NULL: the disk was taken out. */
static const char *
find_node (const Look *look, const CsLazyDisk *disk)
{
  const char *path = disk->aside != NULL ? cs_lazy_aside_overlay (disk->aside) : disk->filename;
  return cs_disk_file_node (look->graph, cs_monitor_pid (look->monitor), "qcow2", path);
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
      if (disk->aside != NULL && look.domain == NULL)
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
  if (lazy->uri != NULL)
    return true;
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

/* Whether disk @i has a job. */
static bool
job_runs (const Look *look, guint i, GError **error)
{
  const CsLazyDisk *disk = look->lazy->disks->pdata[i];
  if (look->domain != NULL)
    {
      virDomainBlockJobInfo info = { 0 };
      int found = virDomainGetBlockJobInfo (look->domain, disk->filename, &info, 0);
      if (found < 0)
        cs_libvirt_set_error (error, "disk '%s'", disk->name);
      return found > 0;
    }
  g_autoptr (CsJson) jobs = NULL;
  g_autofree char *id = g_strdup_printf (JOB, i);
  if (!cs_monitor_execute (look->monitor, "query-block-jobs", NULL, &jobs, error))
    return false;
  for (gsize j = 0; j < cs_array_length (jobs); j++)
    if (g_strcmp0 (cs_json_string (json_object_array_get_idx (jobs, j), "device"), id) == 0)
      return true;
  return false;
}

static bool
is_filling (json_object *job)
{
  static const char *const prefixes[] = { JOB_PREFIX, CS_LAZY_ASIDE_JOB, LIBVIRT_JOBS };
  const char *id = cs_json_string (job, "device");
  bool ours = false;
  for (gsize i = 0; id != NULL && i < G_N_ELEMENTS (prefixes); i++)
    ours = ours || g_str_has_prefix (id, prefixes[i]);
  return ours && !cs_member_true (job, "ready");
}

/* *@fill: jobs of ours run that end by themselves.  Counts what is done. */
static bool
look_at_jobs (CsLazyDisks *lazy, CsMonitor *monitor, bool *fill, GError **error)
{
  g_autoptr (CsJson) jobs = NULL;
  guint64 done = 0;
  *fill = false;
  if (!cs_monitor_execute (monitor, "query-block-jobs", NULL, &jobs, error))
    return false;
  for (gsize i = 0; i < cs_array_length (jobs); i++)
    {
      json_object *job = json_object_array_get_idx (jobs, i);
      *fill = *fill || is_filling (job);
      if (is_filling (job) && g_strcmp0 (cs_json_string (job, "type"), "stream") == 0)
        done += (guint64)cs_member_int (job, "offset");
    }
  for (guint i = 0; i < lazy->disks->len; i++)
    {
      const CsLazyDisk *disk = lazy->disks->pdata[i];
      done += disk->complete        ? disk->size
              : disk->aside != NULL ? cs_lazy_aside_done (disk->aside)
                                    : 0;
    }
  __atomic_store_n (&lazy->done, MIN (done, lazy->total), __ATOMIC_RELAXED);
  return true;
}

static bool
start_job (Look *look, guint i, const char *node, GError **error)
{
  const CsLazyDisk *disk = look->lazy->disks->pdata[i];
  if (look->domain != NULL)
    {
      look->lazy->turn = i + 1;
      look->pulls = virDomainBlockPull (look->domain, disk->filename, look->lazy->rate,
                                        VIR_DOMAIN_BLOCK_PULL_BANDWIDTH_BYTES)
                    == 0;
      return look->pulls || cs_libvirt_set_error (error, "disk '%s' cannot be filled", disk->name);
    }
  g_autofree char *id = g_strdup_printf (JOB, i);
  json_object *arguments = cs_json_strings ("job-id", id, "device", node, NULL);
  cs_json_add_uint (arguments, "speed", look->lazy->rate);
  return cs_monitor_execute (look->monitor, "block-stream", arguments, NULL, error);
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
step_disk (Look *look, guint i, GError **error)
{
  CsLazyDisk *disk = look->lazy->disks->pdata[i];
  g_autoptr (GError) problem = NULL;
  const char *node = disk->complete ? NULL : find_node (look, disk);
  bool runs = node != NULL && job_runs (look, i, &problem);
  if (problem != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&problem));
      return false;
    }
  if (runs)
    return true;
  if (node != NULL && still_backed (look, node))
    {
      if (look->pulls)
        return true;
      bool failed = disk->begun;
      disk->begun = start_job (look, i, node, error);
      return disk->begun && (!failed || tell_failure (disk, look->lazy, error));
    }
  /* Also where it was taken out: that is nobody's business but the user's, and server and root are
   * then kept for it (incomplete). */
  if (node != NULL)
    disk->complete = true;
  return true;
}

static bool
step_aside (Look *look, guint i, GError **error)
{
  CsLazyDisk *disk = look->lazy->disks->pdata[i];
  bool may_export = true, fill;
  for (guint j = 0; j < look->lazy->disks->len; j++)
    {
      const CsLazyDisk *other = look->lazy->disks->pdata[j];
      may_export =
          may_export && (other->aside == NULL || !cs_lazy_aside_is_exporting (other->aside));
    }
  disk->waits = false;
  if (disk->complete)
    return true;
  if (!look_at_jobs (look->lazy, look->monitor, &fill, error))
    return false;
  if (fill)
    return true;
  if (look->domain != NULL)
    return cs_lazy_aside_step_domain (disk->aside, look->monitor, look->domain, &disk->complete,
                                      &disk->waits, error);
  return cs_lazy_aside_step (disk->aside, look->monitor, may_export, &disk->complete, error);
}

/* Those aside, or the others.  One that fails does not keep the rest. */
static bool
step_some (Look *look, bool aside, GError **error)
{
  bool ok = true;
  guint n = look->lazy->disks->len, turn = look->lazy->turn;
  for (guint k = 0; k < n; k++)
    {
      guint i = (turn + k) % n;
      const CsLazyDisk *disk = look->lazy->disks->pdata[i];
      if ((disk->aside != NULL) == aside)
        ok = (aside ? step_aside : step_disk) (look, i, ok ? error : NULL) && ok;
    }
  return ok;
}

/* Those aside first: they look at the nodes, also when the VM stands for one of them. */
static bool
step_all (Look *look, GError **error)
{
  bool ok = step_some (look, true, error);
  if (cs_lazy_disks_want_stop (look->lazy))
    return ok;
  return step_some (look, false, ok ? error : NULL) && ok;
}

/* QEMU 10.0 may crash when it describes its nodes in the moment in which a job ends and its filter
 * goes (block-nodes.h): for us, or for libvirt, which asks for that when a copy begins and ends and
 * when a pull has ended.  So nobody looks while a job of ours is there that ends by itself, and of
 * libvirt's pulls there is one at a time: two that end together crash QEMU (libvirt 11.3). */
bool
cs_lazy_disks_step (CsLazyDisks *lazy, CsMonitor *monitor, GError **error)
{
  g_auto (Look) look = { .lazy = lazy, .monitor = monitor };
  bool fill;
  if (g_atomic_int_get (&lazy->complete))
    return true;
  if (!cs_lazy_disks_serve (lazy, error) || !look_at_jobs (lazy, monitor, &fill, error))
    return false;
  if (fill)
    return true;
  if (!look_begin (&look, error) || !step_all (&look, error))
    return false;
  cs_lazy_disks_check_complete (lazy);
  return true;
}

bool
cs_lazy_disks_want_stop (const CsLazyDisks *lazy)
{
  for (guint i = 0; i < lazy->disks->len; i++)
    {
      const CsLazyDisk *disk = lazy->disks->pdata[i];
      if (disk->waits && !disk->complete)
        return true;
    }
  return false;
}

/* One disk only, for a short stop: the next step finds the others still waiting. */
bool
cs_lazy_disks_change_over (CsLazyDisks *lazy, CsMonitor *monitor, GError **error)
{
  g_auto (Look) look = { .lazy = lazy, .monitor = monitor };
  CsLazyDisk *next = NULL;
  for (guint i = lazy->disks->len; i-- > 0;)
    {
      CsLazyDisk *disk = lazy->disks->pdata[i];
      next = disk->waits ? disk : next;
      disk->waits = false;
    }
  return next == NULL
         || (find_domain (&look, error)
             && cs_lazy_aside_change_over_domain (next->aside, monitor, look.domain,
                                                  &next->complete, error));
}

bool
cs_lazy_disks_settle (CsLazyDisks *lazy, GError **error)
{
  for (guint i = 0; i < lazy->disks->len; i++)
    {
      CsLazyDisk *disk = lazy->disks->pdata[i];
      if (lazy->uri != NULL && disk->aside != NULL && !disk->complete
          && !cs_lazy_aside_settle_domain (disk->aside, &disk->complete, error))
        return false;
    }
  return true;
}

/* The first job that copies and is not ready, or NULL. */
static json_object *
find_copy (json_object *jobs)
{
  for (gsize i = 0; i < cs_array_length (jobs); i++)
    {
      json_object *job = json_object_array_get_idx (jobs, i);
      if (is_filling (job) && g_strcmp0 (cs_json_string (job, "type"), "mirror") == 0)
        return job;
    }
  return NULL;
}

/* Until the copies of a domain are ready: from the start they have the guest's own writes copy, and
 * libvirt would end them by force before (lazy-aside-step.c); in sync later. */
static bool
wait_for_copies (CsMonitor *monitor, GError **error)
{
  gint64 offset = -1, end = 0;
  for (;; g_usleep (POLL_US))
    {
      g_autoptr (CsJson) jobs = NULL;
      if (!cs_monitor_execute (monitor, "query-block-jobs", NULL, &jobs, error))
        return false;
      json_object *copy = find_copy (jobs);
      if (copy == NULL)
        return true;
      if (cs_member_int (copy, "offset") != offset)
        {
          offset = cs_member_int (copy, "offset");
          end = g_get_monotonic_time () + COPY_SECONDS * G_USEC_PER_SEC;
        }
      else if (g_get_monotonic_time () > end)
        {
          g_set_error (error, CS_ERROR, CS_ERROR_DEADLINE,
                       "%s: '%s', which copies what the guest wrote to its disk while that was "
                       "filled, has not got on for %d s",
                       cs_monitor_name (monitor), cs_json_string (copy, "device"), COPY_SECONDS);
          return false;
        }
    }
}

bool
cs_lazy_disks_hold (CsLazyDisks *lazy, CsMonitor *monitor, GError **error)
{
  g_auto (Look) look = { .lazy = lazy, .monitor = monitor };
  if (g_atomic_int_get (&lazy->complete))
    return true;
  if (!find_domain (&look, error)
      || (look.domain != NULL
          && (!cs_lazy_disks_settle (lazy, error) || !wait_for_copies (monitor, error))))
    return false;
  for (guint i = 0; i < lazy->disks->len; i++)
    {
      CsLazyDisk *disk = lazy->disks->pdata[i];
      g_autofree char *id = g_strdup_printf (JOB, i);
      disk->begun = disk->waits = false;
      if (disk->aside != NULL)
        {
          if (look.domain != NULL)
            cs_lazy_aside_hold_domain (disk->aside, look.domain);
          else
            cs_lazy_aside_hold (disk->aside, monitor);
          continue;
        }
      /* One that is ending already refuses: what counts is that it goes. */
      if (!job_runs (&look, i, NULL))
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
