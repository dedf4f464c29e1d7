#include "config.h"

#include "coord/cli-snapshot-create.h"

#include "common/error.h"
#include "common/fault.h"
#include "coord/cli-progress.h"
#include "coord/name.h"
#include "coord/snapshot-job.h"

#include <errno.h>
#include <poll.h>

static void
on_stage (CsStage stage, void *data)
{
  cs_progress_stage (data, stage, CS_N_STAGES, cs_stage_name (stage), cs_stage_sentence (stage));
}

static bool
on_answered (CsStage stage, void *data, GError **error)
{
  return cs_fault_point (cs_stage_name (stage), error);
}

/* ---- one set ---- */

static json_object *
names_of (const CsCreation *creation, const GArray *set)
{
  json_object *names = json_object_new_array ();
  for (guint i = 0; i < set->len; i++)
    json_object_array_add (
        names, json_object_new_string (
                   cs_cluster_vm (creation->cluster, g_array_index (set, guint, i))->name));
  return names;
}

static json_object *
coordinator_of (const CsCreation *creation)
{
  json_object *coordinator = json_object_new_object ();
  json_object_object_add (coordinator, "cluster", cs_cluster_to_json (creation->cluster));
  return coordinator;
}

json_object *
cs_creation_take (const CsCreation *creation, const GArray *set, const char *snapshot,
                  GError **error)
{
  CsCli *cli = creation->cli;
  g_autoptr (CsProgress) progress = cs_progress_new (cli->progress);
  CsSnapshotObserver observer = { on_stage, cs_progress_event, on_answered, progress };
  g_autoptr (CsSnapshotJob) job =
      cs_snapshot_job_new (creation->store, cs_cluster_name (creation->cluster), snapshot,
                           creation->deadline, cli->interrupt_fd, &observer);
  json_object *vms = json_object_new_array ();
  for (guint i = 0; i < set->len; i++)
    json_object_array_add (vms,
                           cs_cluster_vm_ref (creation->cluster, g_array_index (set, guint, i)));
  bool asks = !cs_arguments_has (cli->arguments, CS_OPTION_NO_QUIESCE);
  cs_snapshot_job_set_agent (job, asks ? cs_cluster_agent (creation->cluster) : "off",
                             creation->quiesce_deadline);
  cs_snapshot_job_set_cluster_vms (job, cs_cluster_vm_refs (creation->cluster));
  cs_snapshot_job_add_host (job, cli->rpc, vms);
  cs_snapshot_job_set_manifest (job, coordinator_of (creation));
  json_object *report = cs_snapshot_job_run (job, error);
  if (report != NULL && set->len < cs_cluster_n_vms (creation->cluster))
    json_object_object_add (report, "only", names_of (creation, set));
  return report;
}

/* ---- several sets ---- */

static bool
wait_stagger (const CsCreation *creation, GError **error)
{
  struct pollfd interrupt = { .fd = creation->cli->interrupt_fd, .events = POLLIN };
  gint64 end = g_get_monotonic_time () + (gint64)creation->stagger, left;
  while ((left = end - g_get_monotonic_time ()) > 0)
    {
      int ready = poll (&interrupt, 1, (int)((left + 999) / 1000));
      if (ready < 0 && errno != EINTR)
        return cs_error_set_errno (error, errno, "cannot wait");
      if (ready <= 0)
        continue;
      g_set_error (error, CS_ERROR, CS_ERROR_CANCELLED, "interrupted between two snapshots");
      return false;
    }
  return true;
}

/* Adds to @sums what @report has: times are the longest, the rest is added up. */
static void
add_totals (json_object *sums, json_object *report)
{
  static const char *const longest[] = { "pause", "cluster-pause", "skew" };
  static const char *const summed[] = { "pages-captured", "bytes-captured", "pages-zero",
                                        "pages-shared",   "pages-stored",   "disk-bytes",
                                        "bytes-stored",   "total" };
  for (gsize i = 0; i < G_N_ELEMENTS (longest); i++)
    cs_json_add_uint (
        sums, longest[i],
        MAX (cs_json_uint (sums, longest[i], 0), cs_json_uint (report, longest[i], 0)));
  for (gsize i = 0; i < G_N_ELEMENTS (summed); i++)
    cs_json_add_uint (sums, summed[i],
                      cs_json_uint (sums, summed[i], 0) + cs_json_uint (report, summed[i], 0));
  json_object *vms = cs_json_array (report, "vms");
  for (gsize i = 0; vms != NULL && i < json_object_array_length (vms); i++)
    json_object_array_add (cs_json_array (sums, "vms"),
                           json_object_get (json_object_array_get_idx (vms, i)));
}

/* The row of set @i; false with @error when the others are not to be tried. */
static bool
take_set (const CsCreation *creation, guint i, json_object *sums, guint *failed, GError **first)
{
  const GArray *set = g_ptr_array_index (creation->plan->sets, i);
  g_autoptr (GError) own = NULL;
  g_autofree char *snapshot = g_strdup_printf ("%s.%u", creation->name, i + 1);
  json_object *row = json_object_new_object ();
  json_object_array_add (cs_json_array (sums, "snapshots"), row);
  cs_json_add_string (row, "snapshot", snapshot);
  json_object_object_add (row, "only", names_of (creation, set));
  bool ready =
      cs_name_check ("snapshot", snapshot, &own) && (i == 0 || wait_stagger (creation, &own));
  g_autoptr (CsJson) report = ready ? cs_creation_take (creation, set, snapshot, &own) : NULL;
  if (report != NULL)
    {
      cs_json_merge (row, report);
      json_object_object_del (row, "vms");
      add_totals (sums, report);
      return true;
    }
  bool cancelled = g_error_matches (own, CS_ERROR, CS_ERROR_CANCELLED);
  bool gone = cs_rpc_is_broken (creation->cli->rpc);
  cs_json_add_string (row, "message", own->message);
  *failed += 1;
  if (*first == NULL)
    *first = g_steal_pointer (&own);
  return !cancelled && !gone;
}

/* False with @error when a set failed; @sums says which. */
bool
cs_creation_take_all (const CsCreation *creation, json_object *sums, GError **error)
{
  guint n = creation->plan->sets->len, failed = 0, taken = 0;
  GError *first = NULL;
  json_object_object_add (sums, "vms", json_object_new_array ());
  json_object_object_add (sums, "snapshots", json_object_new_array ());
  while (taken < n && take_set (creation, taken, sums, &failed, &first))
    taken++;
  if (first == NULL)
    return true;
  g_propagate_prefixed_error (error, first, "%u of %u snapshots were not taken: ",
                              failed + (taken < n ? n - taken - 1 : 0), n);
  return false;
}
