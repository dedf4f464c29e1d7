/* A domain's XML for a launch: `-incoming defer` among libvirt's pass-through arguments. */
#ifndef CS_VMM_SOURCE_XML_H
#define CS_VMM_SOURCE_XML_H

#include <glib.h>

/* The XML with `-incoming defer` added to <qemu:commandline>.  INVALID: no domain's XML. */
char *cs_source_xml_add_incoming (const char *xml, GError **error);

/* The XML without what the above added (and unchanged in meaning where nothing was). */
char *cs_source_xml_strip_incoming (const char *xml, GError **error);

/* Its <uuid> (g_free). */
char *cs_source_xml_uuid (const char *xml, GError **error);

#endif
