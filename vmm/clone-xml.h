/* The XML of a libvirt domain, rewritten for a clone beside it.  As clone-argv.h: what names
 * something of the host gets the clone's name in its place, what the guest sees stays, and what is
 * not known to be harmless is refused with its name. */
#ifndef CS_VMM_CLONE_XML_H
#define CS_VMM_CLONE_XML_H

#include "vmm/clone-plan.h"

/* @domain: the clone's.  REFUSED names the element. */
char *cs_clone_xml_rewrite (CsClonePlanVm *vm, const char *xml, const char *domain, GError **error);

#endif
