/* A domain's XML for a launch: `-incoming defer` among libvirt's pass-through arguments. */
#ifndef CS_VMM_SOURCE_XML_H
#define CS_VMM_SOURCE_XML_H

#include <glib.h>
#include <libxml/tree.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC (xmlDoc, xmlFreeDoc)

/* No network, no entities, no white space between elements: the XML may come from a store.
 * INVALID: no domain's XML. */
xmlDoc *cs_source_xml_parse (const char *xml, GError **error);
char *cs_source_xml_format (xmlDoc *document);

/* The XML with `-incoming defer` added to <qemu:commandline>.  INVALID: no domain's XML. */
char *cs_source_xml_add_incoming (const char *xml, GError **error);

/* The XML without what the above added (and unchanged in meaning where nothing was). */
char *cs_source_xml_strip_incoming (const char *xml, GError **error);

/* Its <uuid> (g_free). */
char *cs_source_xml_uuid (const char *xml, GError **error);

#endif
