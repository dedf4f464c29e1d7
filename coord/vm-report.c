#include "config.h"

#include "coord/vm-report.h"

json_object *
cs_vm_report_of (json_object *vms, const char *name)
{
  json_object *vm = cs_json_find_named (vms, name);
  if (vm != NULL)
    return vm;
  vm = json_object_new_object ();
  cs_json_add_string (vm, "name", name);
  json_object_array_add (vms, vm);
  return vm;
}

void
cs_vm_report_keep_largest (json_object *object, const char *name, guint64 value)
{
  if (value >= cs_json_uint (object, name, 0))
    cs_json_add_uint (object, name, value);
}

void
cs_vm_report_add (json_object *report, const CsHosts *hosts, const char *longest)
{
  g_autoptr (CsJson) answers = cs_hosts_answer_vms (hosts);
  json_object *vms = cs_json_array (report, "vms");
  for (gsize i = 0; i < json_object_array_length (answers); i++)
    {
      json_object *answer = json_object_array_get_idx (answers, i);
      const char *name = cs_json_string (answer, "name");
      if (name == NULL)
        continue;
      cs_json_merge (cs_vm_report_of (vms, name), answer);
      if (longest != NULL)
        cs_vm_report_keep_largest (report, longest, cs_json_uint (answer, longest, 0));
    }
}
