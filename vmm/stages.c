#include "config.h"

#include "vmm/stages.h"

static const struct
{
  const char *name;
  const char *sentence;
  const char *participants;
  const char *undo;
} table[] = {
#define X(symbol, name, sentence, participants, undo)                                              \
  [CS_STAGE_##symbol] = { name, sentence, participants, undo },
  CS_STAGE_TABLE (X)
#undef X
};

G_STATIC_ASSERT (G_N_ELEMENTS (table) == CS_N_STAGES);

const char *
cs_stage_name (CsStage stage)
{
  g_assert (stage < CS_N_STAGES);
  return table[stage].name;
}

const char *
cs_stage_sentence (CsStage stage)
{
  g_assert (stage < CS_N_STAGES);
  return table[stage].sentence;
}

const char *
cs_stage_participants (CsStage stage)
{
  g_assert (stage < CS_N_STAGES);
  return table[stage].participants;
}

const char *
cs_stage_undo (CsStage stage)
{
  g_assert (stage < CS_N_STAGES);
  return table[stage].undo;
}

bool
cs_stage_from_name (const char *name, CsStage *stage)
{
  for (int i = 0; i < CS_N_STAGES; i++)
    if (g_strcmp0 (table[i].name, name) == 0)
      {
        *stage = (CsStage)i;
        return true;
      }
  return false;
}
