#include "config.h"

#include "vmm/cold-restore.h"

#include "common/json.h"

struct CsColdRestore
{
  CsColdRestoreOptions options;
  CsRestore *restore; /* from load to hand_over */
  CsRestoreTimes times;
};

CsColdRestore *
cs_cold_restore_new (const CsColdRestoreOptions *options)
{
  CsColdRestore *cold = g_new0 (CsColdRestore, 1);
  cold->options = *options;
  return cold;
}

void
cs_cold_restore_free (CsColdRestore *cold)
{
  if (cold == NULL)
    return;
  if (cold->restore != NULL)
    {
      g_clear_pointer (&cold->restore, cs_restore_free);
      cs_journal_remove (cold->options.daemon->journal, "fill", cold->options.vm->ref);
      cs_journal_remove (cold->options.daemon->journal, "load", cold->options.vm->ref);
      cs_vm_reset (cold->options.vm);
    }
  g_free (cold);
}

static bool
is_clone (const CsColdRestore *cold)
{
  return cold->options.clone_directory != NULL;
}

/* What the restored VM's next snapshot is a delta to. */
static CsVmBase *
base_of (const CsColdRestore *cold, const char *bitmap, GError **error)
{
  const CsColdRestoreOptions *options = &cold->options;
  g_autoptr (GPtrArray) disks = g_ptr_array_new_with_free_func ((GDestroyNotify)cs_disk_free);
  json_object *documents = cs_json_array (options->document, "disks");
  for (gsize i = 0; documents != NULL && i < json_object_array_length (documents); i++)
    {
      CsDisk *disk = cs_disk_from_json (json_object_array_get_idx (documents, i), error);
      if (disk == NULL)
        return NULL;
      g_ptr_array_add (disks, disk);
    }
  CsVmBase *base = cs_vm_base_new (options->store, cs_json_string (options->document, "image"),
                                   cs_restore_tracker (cold->restore), bitmap, disks);
  /* A clone's own cluster may have another snapshot of that name. */
  if (!is_clone (cold))
    base->snapshot = g_strdup (options->snapshot);
  return base;
}

bool
cs_cold_restore_load (CsColdRestore *cold, GCancellable *cancellable, GError **error)
{
  const CsColdRestoreOptions *options = &cold->options;
  g_autofree char *bitmap = g_strdup_printf ("clusnap-%08x%08x", g_random_int (), g_random_int ());
  CsRestoreOptions how = {
    .lazy = options->lazy,
    .fill_rate = options->fill_rate,
    .has_disks = is_clone (cold),
    .serve_directory = is_clone (cold) ? NULL : options->daemon->serve_directory,
    .journal = is_clone (cold) ? NULL : options->daemon->journal,
    .ref = options->vm->ref,
    .job = options->job,
    .log_directory = is_clone (cold) ? options->clone_directory : options->daemon->log_directory,
    .disk_bitmap = bitmap
  };
  /* What is there now must be whole without its servers: it may come back. */
  CsRestore *before = cs_vm_filling (options->vm);
  if (before != NULL && !cs_restore_complete_disks (before, error))
    return false;
  cs_vm_reset (options->vm);
  cold->restore = cs_restore_new (options->store, options->document, &how, error);
  if (cold->restore == NULL || !cs_restore_load (cold->restore, cancellable, error))
    return false;
  CsVmBase *base = base_of (cold, bitmap, error);
  if (base == NULL)
    return false;
  cs_vm_adopt (options->vm, cs_restore_monitor (cold->restore), base);
  cs_restore_times (cold->restore, &cold->times);
  return true;
}

bool
cs_cold_restore_journal (CsColdRestore *cold, GError **error)
{
  const CsColdRestoreOptions *options = &cold->options;
  json_object *state = cs_restore_to_json (cold->restore);
  if (state == NULL)
    return true;
  json_object *extra = json_object_new_object ();
  cs_json_add_string (extra, "store", cs_store_path (options->store));
  if (!is_clone (cold))
    cs_json_add_string (extra, "snapshot", options->snapshot);
  json_object_object_add (extra, "restore", state);
  return cs_journal_add (options->daemon->journal, "fill", options->vm->ref, options->vm->pid,
                         extra, error);
}

bool
cs_cold_restore_resume (CsColdRestore *cold, GError **error)
{
  if (!cs_restore_resume (cold->restore, error))
    return false;
  /* Again: what is to be done with a VM that runs differs. */
  g_autoptr (GError) unsaid = NULL;
  if (!cs_cold_restore_journal (cold, &unsaid))
    g_warning ("VM '%s': %s", cold->options.vm->ref->name, unsaid->message);
  return true;
}

void
cs_cold_restore_commit (CsColdRestore *cold)
{
  cs_restore_commit (cold->restore);
}

void
cs_cold_restore_hand_over (CsColdRestore *cold)
{
  cs_vm_set_filling (cold->options.vm, g_steal_pointer (&cold->restore));
}

CsMonitor *
cs_cold_restore_monitor (const CsColdRestore *cold)
{
  return cs_restore_monitor (cold->restore);
}

const CsRestoreTimes *
cs_cold_restore_times (const CsColdRestore *cold)
{
  return &cold->times;
}
