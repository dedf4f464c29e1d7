/* What a request names: CsVmRef of source.h. */
#include "config.h"

#include "vmm/source.h"

#include "common/error.h"

#include <string.h>

#define NAME_MAX_BYTES 128
#define TEXT_MAX_BYTES 1024

/* Names become parts of file names: letters, digits, "._-", a letter or digit first. */
static bool
is_name (const char *name)
{
  gsize length = strlen (name);
  if (length == 0 || length > NAME_MAX_BYTES || !g_ascii_isalnum (name[0]))
    return false;
  for (gsize i = 0; i < length; i++)
    if (!g_ascii_isalnum (name[i]) && strchr ("._-", name[i]) == NULL)
      return false;
  return true;
}

/* Member @key as a string without control characters: NULL where absent or bad. */
static const char *
text_member (json_object *object, const char *key)
{
  json_object *member = NULL;
  if (!json_object_object_get_ex (object, key, &member)
      || !json_object_is_type (member, json_type_string))
    return NULL;
  const char *text = json_object_get_string (member);
  gsize length = (gsize)json_object_get_string_len (member);
  if (length == 0 || length > TEXT_MAX_BYTES || strlen (text) != length)
    return NULL;
  for (gsize i = 0; i < length; i++)
    if (g_ascii_iscntrl (text[i]))
      return NULL;
  return text;
}

CsVmRef *
cs_vm_ref_from_json (json_object *object, GError **error)
{
  const char *name = text_member (object, "name");
  const char *uri = text_member (object, "uri");
  const char *domain = text_member (object, "domain");
  const char *qmp = text_member (object, "qmp");
  const char *problem = NULL;
  if (name == NULL || !is_name (name))
    problem = "\"name\" must be letters, digits, '.', '_', '-'";
  else if ((uri != NULL) != (domain != NULL) || (uri != NULL) == (qmp != NULL))
    problem = "there must be either \"uri\" and \"domain\", or \"qmp\"";
  else if (qmp != NULL && !g_path_is_absolute (qmp))
    problem = "\"qmp\" must be an absolute path";
  if (problem != NULL)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "VM '%s': %s", name != NULL ? name : "?",
                   problem);
      return NULL;
    }
  CsVmRef *ref = g_new0 (CsVmRef, 1);
  ref->name = g_strdup (name);
  ref->uri = g_strdup (uri);
  ref->domain = g_strdup (domain);
  ref->qmp = qmp != NULL ? g_canonicalize_filename (qmp, "/") : NULL;
  return ref;
}

CsVmRef *
cs_vm_ref_copy (const CsVmRef *ref)
{
  CsVmRef *copy = g_new0 (CsVmRef, 1);
  copy->name = g_strdup (ref->name);
  copy->uri = g_strdup (ref->uri);
  copy->domain = g_strdup (ref->domain);
  copy->qmp = g_strdup (ref->qmp);
  return copy;
}

void
cs_vm_ref_free (CsVmRef *ref)
{
  if (ref == NULL)
    return;
  g_free (ref->name);
  g_free (ref->uri);
  g_free (ref->domain);
  g_free (ref->qmp);
  g_free (ref);
}

char *
cs_vm_ref_key (const CsVmRef *ref)
{
  return ref->qmp != NULL ? g_strconcat ("qmp:", ref->qmp, NULL)
                          : g_strconcat ("libvirt:", ref->uri, ":", ref->domain, NULL);
}

CsMonitor *
cs_vm_ref_connect (const CsVmRef *ref, GError **error)
{
  return ref->qmp != NULL ? cs_monitor_open_qmp (ref->qmp, error)
                          : cs_monitor_open_libvirt (ref->uri, ref->domain, error);
}
