#include "config.h"

#include "vmm/source-xml.h"

#include "common/error.h"

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <string.h>

/* https://libvirt.org/drvqemu.html#pass-through-of-arbitrary-qemu-commands */
#define QEMU_NAMESPACE "http://libvirt.org/schemas/domain/qemu/1.0"
#define XML(text) ((const xmlChar *)(text))

xmlDoc *
cs_source_xml_parse (const char *xml, GError **error)
{
  g_autoptr (xmlDoc) document = xmlReadMemory (xml, (int)strlen (xml), "domain.xml", NULL,
                                               XML_PARSE_NONET | XML_PARSE_NOBLANKS
                                                   | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
  xmlNode *root = document != NULL ? xmlDocGetRootElement (document) : NULL;
  if (root != NULL && xmlStrEqual (root->name, XML ("domain"))
      && xmlGetIntSubset (document) == NULL)
    return g_steal_pointer (&document);
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "this is not the XML of a libvirt domain");
  return NULL;
}

char *
cs_source_xml_format (xmlDoc *document)
{
  xmlChar *text = NULL;
  int length = 0;
  xmlDocDumpFormatMemory (document, &text, &length, 1);
  char *copy = g_strndup ((const char *)text, (gsize)length);
  xmlFree (text);
  return copy;
}

static bool
is_qemu_element (const xmlNode *node, const char *name)
{
  return node != NULL && node->type == XML_ELEMENT_NODE && xmlStrEqual (node->name, XML (name))
         && node->ns != NULL && xmlStrEqual (node->ns->href, XML (QEMU_NAMESPACE));
}

static xmlNode *
find_commandline (xmlDoc *document)
{
  for (xmlNode *node = xmlDocGetRootElement (document)->children; node != NULL; node = node->next)
    if (is_qemu_element (node, "commandline"))
      return node;
  return NULL;
}

static bool
is_argument (const xmlNode *node, const char *value)
{
  if (!is_qemu_element (node, "arg"))
    return false;
  xmlChar *text = xmlGetNoNsProp (node, XML ("value"));
  bool same = text != NULL && xmlStrEqual (text, XML (value));
  xmlFree (text);
  return same;
}

static void
add_argument (xmlNode *commandline, const char *value)
{
  xmlNode *argument = xmlNewChild (commandline, commandline->ns, XML ("arg"), NULL);
  xmlNewProp (argument, XML ("value"), XML (value));
}

/* The declaration goes when nothing (as <qemu:override>) uses it, so that what was added
 * and stripped is as before. */
static void
remove_unused_namespace (xmlNode *root)
{
  for (xmlNode *node = root->children; node != NULL; node = node->next)
    if (node->type == XML_ELEMENT_NODE && node->ns != NULL)
      return;
  for (xmlNs **link = &root->nsDef; *link != NULL; link = &(*link)->next)
    if (xmlStrEqual ((*link)->href, XML (QEMU_NAMESPACE)))
      {
        xmlNs *unused = *link;
        *link = unused->next;
        xmlFreeNs (unused);
        return;
      }
}

static void
strip_incoming (xmlDoc *document)
{
  xmlNode *commandline = find_commandline (document);
  if (commandline == NULL)
    return;
  for (xmlNode *node = xmlFirstElementChild (commandline), *next; node != NULL; node = next)
    {
      xmlNode *value = xmlNextElementSibling (node);
      next = value;
      if (!is_argument (node, "-incoming") || !is_argument (value, "defer"))
        continue;
      next = xmlNextElementSibling (value);
      xmlUnlinkNode (node);
      xmlFreeNode (node);
      xmlUnlinkNode (value);
      xmlFreeNode (value);
    }
  if (xmlFirstElementChild (commandline) == NULL)
    {
      xmlUnlinkNode (commandline);
      xmlFreeNode (commandline);
      remove_unused_namespace (xmlDocGetRootElement (document));
    }
}

char *
cs_source_xml_strip_incoming (const char *xml, GError **error)
{
  g_autoptr (xmlDoc) document = cs_source_xml_parse (xml, error);
  if (document == NULL)
    return NULL;
  strip_incoming (document);
  cs_source_xml_strip_disks (document);
  return cs_source_xml_format (document);
}

char *
cs_source_xml_add_incoming (const char *xml, GError **error)
{
  g_autoptr (xmlDoc) document = cs_source_xml_parse (xml, error);
  if (document == NULL)
    return NULL;
  strip_incoming (document);
  xmlNode *root = xmlDocGetRootElement (document);
  xmlNode *commandline = find_commandline (document);
  if (commandline == NULL)
    {
      xmlNs *space = xmlSearchNsByHref (document, root, XML (QEMU_NAMESPACE));
      if (space == NULL)
        space = xmlNewNs (root, XML (QEMU_NAMESPACE), XML ("qemu"));
      commandline = xmlNewChild (root, space, XML ("commandline"), NULL);
    }
  add_argument (commandline, "-incoming");
  add_argument (commandline, "defer");
  return cs_source_xml_format (document);
}

char *
cs_source_xml_uuid (const char *xml, GError **error)
{
  g_autoptr (xmlDoc) document = cs_source_xml_parse (xml, error);
  if (document == NULL)
    return NULL;
  for (xmlNode *node = xmlFirstElementChild (xmlDocGetRootElement (document)); node != NULL;
       node = xmlNextElementSibling (node))
    if (xmlStrEqual (node->name, XML ("uuid")))
      {
        xmlChar *text = xmlNodeGetContent (node);
        char *uuid = g_strdup ((const char *)text);
        xmlFree (text);
        return uuid;
      }
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "the domain's XML has no <uuid>");
  return NULL;
}
