/* hello, vm.info, and what the methods share. */
#include "config.h"

#include "common/error.h"
#include "common/json.h"
#include "vmm/daemon.h"
#include "vmm/precheck.h"

#include <sys/utsname.h>
#include <unistd.h>

enum
{
  MAX_VMS = 1024, /* of one job on one host */
};

json_object *
cs_rpc_hello (CsRpcPeer *peer, json_object *params, GError **error)
{
  g_autoptr (GError) reason = NULL;
  struct utsname name;
  uname (&name);
  json_object *result = json_object_new_object ();
  cs_json_add_string (result, "version", PACKAGE_VERSION);
  cs_json_add_uint (result, "protocol", 1);
  cs_json_add_uint (result, "pid", (guint64)getpid ());
  cs_json_add_string (result, "host", name.nodename);
  cs_json_add_string (result, "kernel", name.release);
  bool tracking = cs_tracker_probe (&reason);
  json_object_object_add (result, "tracking", json_object_new_boolean (tracking));
  if (!tracking)
    cs_json_add_string (result, "reason", reason->message);
  return result;
}

json_object *
cs_rpc_job_abort (CsRpcPeer *peer, json_object *params, GError **error)
{
  cs_rpc_peer_end_job (peer);
  return json_object_new_object ();
}

static bool
has_name (GPtrArray *refs, const char *name)
{
  for (guint i = 0; i < refs->len; i++)
    if (g_strcmp0 (((CsVmRef *)g_ptr_array_index (refs, i))->name, name) == 0)
      return true;
  return false;
}

void
cs_rpc_notify_running (CsRpcPeer *peer)
{
  json_object *event = json_object_new_object ();
  cs_json_add_string (event, "event", "progress");
  cs_json_add_string (event, "text", "the VMs run, their agents are told");
  cs_rpc_peer_notify (peer, event);
}

GPtrArray *
cs_rpc_vm_refs (json_object *params, const char *member, GError **error)
{
  json_object *array = cs_json_array (params, member);
  gsize n = array ? json_object_array_length (array) : 0;
  if (n == 0 || n > MAX_VMS)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "'%s' must list 1 to %d VMs", member,
                   MAX_VMS);
      return NULL;
    }
  g_autoptr (GPtrArray) refs = g_ptr_array_new_with_free_func ((GDestroyNotify)cs_vm_ref_free);
  for (gsize i = 0; i < n; i++)
    {
      CsVmRef *ref = cs_vm_ref_from_json (json_object_array_get_idx (array, i), error);
      if (ref == NULL)
        return NULL;
      bool twice = has_name (refs, ref->name);
      g_ptr_array_add (refs, ref);
      if (twice)
        {
          g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "VM '%s' is listed twice", ref->name);
          return NULL;
        }
    }
  return g_steal_pointer (&refs);
}

/* ---- vm.info ---- */

typedef struct
{
  CsVm *vm;
  json_object *result;
} InfoRequest;

static void
add_problem (json_object *problems, const GError *error)
{
  json_object_array_add (problems, json_object_new_string (error->message));
}

static void
add_disks (json_object *result, json_object *problems, CsMonitor *monitor, const char *bitmap)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) disks = cs_disks_query (monitor, &error);
  json_object *array = json_object_new_array ();
  json_object_object_add (result, "disks", array);
  if (disks == NULL)
    {
      add_problem (problems, error);
      return;
    }
  for (guint i = 0; i < disks->len; i++)
    {
      const CsDisk *disk = g_ptr_array_index (disks, i);
      json_object *object = cs_disk_to_json (disk);
      guint64 changed;
      if (bitmap != NULL && cs_disk_changed (monitor, disk, bitmap, &changed))
        cs_json_add_uint (object, "bytes-changed", changed);
      json_object_array_add (array, object);
    }
}

static bool
info_of (gpointer data, GError **error)
{
  InfoRequest *request = data;
  CsVm *vm = request->vm;
  json_object *problems = json_object_new_array ();
  g_autoptr (GError) own = NULL;
  json_object_object_add (request->result, "problems", problems);
  if (!cs_vm_open (vm, &own))
    {
      json_object_object_add (request->result, "running", json_object_new_boolean (false));
      add_problem (problems, own);
      return true;
    }
  CsMonitor *monitor = cs_vm_monitor (vm);
  g_autoptr (CsJson) summary = cs_precheck_summary (monitor, &own);
  json_object_object_add (request->result, "running", json_object_new_boolean (summary != NULL));
  if (summary != NULL)
    cs_json_merge (request->result, summary);
  else
    add_problem (problems, own);
  if (summary != NULL)
    {
      g_autoptr (CsJson) obstacles = cs_precheck_problems (monitor);
      for (gsize i = 0; i < json_object_array_length (obstacles); i++)
        json_object_array_add (problems,
                               json_object_get (json_object_array_get_idx (obstacles, i)));
      add_disks (request->result, problems, monitor, vm->base != NULL ? vm->base->bitmap : NULL);
    }
  json_object_object_add (request->result, "tracked", json_object_new_boolean (vm->base != NULL));
  if (vm->base != NULL)
    cs_json_add_string (request->result, "base", vm->base->snapshot);
  cs_vm_close (vm);
  return true;
}

json_object *
cs_rpc_vm_info (CsRpcPeer *peer, json_object *params, GError **error)
{
  CsDaemon *daemon = cs_rpc_peer_user_data (peer);
  g_autoptr (CsVmRef) ref = cs_vm_ref_from_json (cs_json_member_object (params, "vm"), error);
  if (ref == NULL)
    return NULL;
  InfoRequest request = { .vm = cs_vm_table_get (daemon->vms, ref) };
  if (!cs_vm_claim_briefly (request.vm, "a request for information", error))
    return NULL;
  request.result = json_object_new_object ();
  cs_json_add_string (request.result, "name", ref->name);
  cs_worker_run (request.vm->worker, info_of, &request, NULL);
  cs_vm_release (request.vm);
  return request.result;
}
