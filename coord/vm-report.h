/* What a job's report says of each VM: the daemons' answers, merged stage by stage under the
 * report's member "vms". */
#ifndef CS_COORD_VM_REPORT_H
#define CS_COORD_VM_REPORT_H

#include "coord/hosts.h"

/* The object in array @vms that is called @name, added when there is none.  Borrowed. */
json_object *cs_vm_report_of (json_object *vms, const char *name);

/* Merges what all hosts have just answered into @report's VMs.  Of member @longest (NULL: of none)
 * the largest value becomes @report's own. */
void cs_vm_report_add (json_object *report, const CsHosts *hosts, const char *longest);

/* Sets @object's member @name unless it is larger already. */
void cs_vm_report_keep_largest (json_object *object, const char *name, guint64 value);

#endif
