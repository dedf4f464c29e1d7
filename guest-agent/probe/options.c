#include "config.h"

#include "guest-agent/probe/probe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct number
{
  const char *key;
  size_t offset;
  unsigned low, high;
};

static const struct number numbers[] = {
  { "node", offsetof (struct probe_options, node), 0, PROBE_NODES_MAX - 1 },
  { "nodes", offsetof (struct probe_options, nodes), 1, PROBE_NODES_MAX },
  { "group", offsetof (struct probe_options, group), 1, PROBE_NODES_MAX },
  { "rate", offsetof (struct probe_options, rate), 1, 10000 },
  { "dirty", offsetof (struct probe_options, dirty), 0, 10000 },
  { "table", offsetof (struct probe_options, table), 1, 4096 },
  { "reads", offsetof (struct probe_options, reads), 1, 32 },
  { "iops", offsetof (struct probe_options, iops), 1, 100000 },
};

static bool
parse_number (const struct number *number, const char *text, struct probe_options *options)
{
  char *end;
  errno = 0;
  unsigned long value = strtoul (text, &end, 10);
  if (*text < '0' || *text > '9' || *end || errno || value < number->low || value > number->high)
    {
      fprintf (stderr, "cut-probe: %s='%s' is no number from %u to %u\n", number->key, text,
               number->low, number->high);
      return false;
    }
  unsigned narrow = (unsigned)value;
  memcpy ((char *)options + number->offset, &narrow, sizeof narrow);
  return true;
}

static bool
parse_text (const char *key, const char *text, char *field, size_t size)
{
  if (strlen (text) >= size)
    {
      fprintf (stderr, "cut-probe: %s='%s' is longer than %zu characters\n", key, text, size - 1);
      return false;
    }
  snprintf (field, size, "%s", text);
  return true;
}

static bool
parse_word (struct probe_options *options, const char *word)
{
  if (strncmp (word, "net=", 4) == 0)
    return parse_text ("net", word + 4, options->net, sizeof options->net);
  if (strncmp (word, "disks=", 6) == 0)
    return parse_text ("disks", word + 6, options->disks, sizeof options->disks);
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
    {
      size_t length = strlen (numbers[i].key);
      if (strncmp (word, numbers[i].key, length) == 0 && word[length] == '=')
        return parse_number (&numbers[i], word + length + 1, options);
    }
  return true;
}

bool
probe_options_parse (struct probe_options *options, int argc, char **argv)
{
  *options = (struct probe_options){
    .nodes = 1,
    .group = PROBE_NODES_MAX,
    .rate = 50,
    .dirty = 2,
    .table = 32,
    .reads = 8,
    .iops = 120,
    .disks = "/dev/vda,/dev/vdb,/dev/vdc,/dev/vdd,/dev/vde,"
             "/dev/vdf,/dev/sda,/dev/sdb,/dev/sdc,/dev/sdd",
  };
  for (int i = 1; i < argc; i++)
    if (!parse_word (options, argv[i]))
      return false;
  if (options->node >= options->nodes)
    {
      fprintf (stderr, "cut-probe: node=%u, but nodes=%u\n", options->node, options->nodes);
      return false;
    }
  return true;
}
