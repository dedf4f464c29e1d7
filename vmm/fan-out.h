/* One step of a job on all of its VMs at once, each in its VM's worker. */
#ifndef CS_VMM_FAN_OUT_H
#define CS_VMM_FAN_OUT_H

#include "vmm/vm.h"

/* A member of a job: the job's own struct begins with this one. */
typedef struct
{
  CsVm *vm;
  CsTask *task; /* under way, or NULL */
} CsMember;

/* Posts @func for every member of @members (GPtrArray of CsMember) that has none under way. */
void cs_fan_out_begin (GPtrArray *members, CsTaskFunc func);
/* Waits for all.  False when any failed: @error is the first one's, "VM 'name': ..."; errors that
 * only say CANCELLED give way to others. */
bool cs_fan_out_end (GPtrArray *members, GError **error);
/* Both. */
bool cs_fan_out (GPtrArray *members, CsTaskFunc func, GError **error);

/* Claims the VMs of all members for @holder, or none of them. */
bool cs_fan_out_claim (GPtrArray *members, const char *holder, GError **error);

#endif
