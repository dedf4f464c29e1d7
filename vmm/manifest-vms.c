#include "config.h"

#include "vmm/manifest-vms.h"

#include "common/error.h"
#include "common/json.h"

/* Whether the request's @names (NULL: all) has @name. */
static bool
is_wanted (json_object *names, const char *name)
{
  if (names == NULL)
    return true;
  for (gsize i = 0; i < json_object_array_length (names); i++)
    if (g_strcmp0 (json_object_get_string (json_object_array_get_idx (names, i)), name) == 0)
      return true;
  return false;
}

static bool
check_names (json_object *documents, const char *snapshot, json_object *names, GError **error)
{
  for (gsize i = 0; names != NULL && i < json_object_array_length (names); i++)
    {
      const char *name = json_object_get_string (json_object_array_get_idx (names, i));
      if (cs_json_find_named (documents, name ? name : "") != NULL)
        continue;
      g_set_error (error, CS_ERROR, CS_ERROR_NOT_FOUND, "snapshot '%s' has no VM '%s'", snapshot,
                   name ? name : "");
      return false;
    }
  return true;
}

/* Where the VM is to run: the manifest's source says. */
static CsVmRef *
ref_of_document (json_object *document, GError **error)
{
  json_object *source = cs_json_member_object (document, "source");
  g_autoptr (CsJson) ref = json_object_new_object ();
  cs_json_add_string (ref, "name", cs_json_string (document, "name"));
  cs_json_add_string (ref, "uri", cs_json_string (source, "uri"));
  cs_json_add_string (ref, "domain", cs_json_string (source, "domain"));
  cs_json_add_string (ref, "qmp", cs_json_string (source, "socket"));
  return cs_vm_ref_from_json (ref, error);
}

bool
cs_manifest_vms_choose (json_object *manifest, const char *snapshot, json_object *names,
                        CsManifestVmFunc func, gpointer data, GError **error)
{
  guint chosen = 0;
  json_object *documents = cs_json_array (manifest, "vms");
  gsize n = documents ? json_object_array_length (documents) : 0;
  if (!check_names (documents, snapshot, names, error))
    return false;
  for (gsize i = 0; i < n; i++)
    {
      json_object *document = json_object_array_get_idx (documents, i);
      if (!is_wanted (names, cs_json_string (document, "name")))
        continue;
      g_autoptr (CsVmRef) ref = ref_of_document (document, error);
      if (ref == NULL)
        {
          g_prefix_error (error, "snapshot '%s': ", snapshot);
          return false;
        }
      func (document, ref, data);
      chosen++;
    }
  if (chosen > 0)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT, "snapshot '%s' names no VM", snapshot);
  return false;
}
