/* How a VM that is still filling survives clusnapd:
 *   {"vm": the manifest's document, "running": bool,
 *    "lazy": vmm/lazy.h, while its memory is arriving,
 *    "disks": vmm/lazy-disks.h, where some are filled while the VM runs} */
#include "config.h"

#include "common/error.h"
#include "common/json.h"
#include "vmm/restore-private.h"

json_object *
cs_restore_to_json (CsRestore *restore)
{
  bool memory = restore->lazy != NULL && restore->state != RESTORE_FINISHED;
  bool disks = restore->lazy_disks != NULL && !cs_lazy_disks_is_complete (restore->lazy_disks);
  if (restore->state < RESTORE_LOADED || (!memory && !disks))
    return NULL;
  json_object *object = json_object_new_object ();
  json_object_object_add (object, "vm", json_object_get (restore->document->vm));
  json_object_object_add (object, "running",
                          json_object_new_boolean (restore->state >= RESTORE_RUNNING));
  if (memory)
    json_object_object_add (object, "lazy", cs_lazy_to_json (restore->lazy));
  if (restore->lazy_disks != NULL)
    json_object_object_add (object, "disks", cs_lazy_disks_to_json (restore->lazy_disks));
  return object;
}

static CsMonitor *
connect_source (json_object *source, GError **error)
{
  const char *socket = cs_json_string (source, "socket");
  const char *uri = cs_json_string (source, "uri"), *domain = cs_json_string (source, "domain");
  if (socket != NULL)
    return cs_monitor_open_qmp (socket, error);
  if (uri != NULL && domain != NULL)
    return cs_monitor_open_libvirt (uri, domain, error);
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
               "the record of a restore names neither a socket nor a domain");
  return NULL;
}

/* With @disks, memory may be complete without the record saying so: killed in between.  Without
 * them there would be no record then, or one that goes. */
static bool
take_up_memory (CsRestore *restore, json_object *lazy, json_object *disks, GError **error)
{
  g_autofree char *name = g_strdup_printf ("VM '%s'", restore->document->name);
  g_autoptr (GError) own = NULL;
  if (lazy == NULL)
    return true;
  restore->lazy = cs_lazy_from_json (lazy, name, restore->image, &own);
  if (restore->lazy != NULL || (disks != NULL && g_error_matches (own, CS_ERROR, CS_ERROR_STATE)))
    return true;
  g_propagate_error (error, g_steal_pointer (&own));
  return false;
}

static bool
take_up (CsRestore *restore, json_object *lazy, json_object *disks, bool running, GError **error)
{
  /* First: QEMU's main loop may be waiting in a fault, deaf to its monitor. */
  if (!take_up_memory (restore, lazy, disks, error))
    return false;
  if (disks != NULL
      && (restore->lazy_disks =
              cs_lazy_disks_from_json (restore->store, restore->document->source, disks, error))
             == NULL)
    return false;
  restore->monitor = connect_source (restore->document->source, error);
  if (restore->monitor == NULL)
    return false;
  restore->is_lazy = true;
  restore->state = running ? RESTORE_RUNNING : RESTORE_LOADED;
  restore->committed = restore->fill_begun = running;
  if (running && restore->lazy != NULL)
    cs_lazy_start_fill (restore->lazy);
  return true;
}

CsRestore *
cs_restore_from_json (CsStore *store, json_object *object, GError **error)
{
  json_object *vm, *running, *lazy = NULL, *disks = NULL;
  if (!json_object_is_type (object, json_type_object)
      || !json_object_object_get_ex (object, "vm", &vm)
      || !json_object_object_get_ex (object, "running", &running)
      || !json_object_is_type (running, json_type_boolean)
      || (json_object_object_get_ex (object, "lazy", &lazy)
          && !json_object_is_type (lazy, json_type_object))
      || (json_object_object_get_ex (object, "disks", &disks)
          && !json_object_is_type (disks, json_type_object))
      || (lazy == NULL && disks == NULL))
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "the record of a restore is not valid");
      return NULL;
    }
  CsRestoreDocument *document = cs_restore_document_parse (vm, error);
  if (document == NULL)
    return NULL;
  g_autoptr (CsRestore) restore = cs_restore_alloc (store, document, error);
  if (restore == NULL || !take_up (restore, lazy, disks, json_object_get_boolean (running), error))
    return NULL;
  return g_steal_pointer (&restore);
}
