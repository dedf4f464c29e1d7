/* What clone-xml.c (the domain) and clone-xml-devices.c share. */
#ifndef CS_VMM_CLONE_XML_PRIVATE_H
#define CS_VMM_CLONE_XML_PRIVATE_H

#include "vmm/clone-xml.h"

#include <libxml/tree.h>

#define XML(text) ((const xmlChar *)(text))

typedef struct
{
  CsClonePlanVm *vm;
} CsCloneXml;

/* Sets REFUSED: "VM 'x' cannot be cloned: its <element>: …". */
bool cs_clone_xml_refuse (const CsCloneXml *context, const xmlNode *element, GError **error,
                          const char *format, ...) G_GNUC_PRINTF (4, 5);

bool cs_clone_xml_is (const xmlNode *node, const char *name);
xmlNode *cs_clone_xml_child (const xmlNode *parent, const char *name);
char *cs_clone_xml_attribute (const xmlNode *node, const char *name); /* NULL: none, or no node */
void cs_clone_xml_set (xmlNode *node, const char *name, const char *value);
void cs_clone_xml_unset (xmlNode *node, const char *name);
void cs_clone_xml_remove (xmlNode *node); /* NULL: nothing */
/* The text in it. */
char *cs_clone_xml_text (const xmlNode *node);
void cs_clone_xml_set_text (xmlNode *node, const char *text);

bool cs_clone_xml_devices (CsCloneXml *context, xmlNode *devices, GError **error);

#endif
