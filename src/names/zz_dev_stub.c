#include "plan/plan.h"
#include <stdio.h>
void tare_plan_finding(struct tare_model *m, enum tare_level l, enum tare_code c, const char *w, const char *where, const char *f, ...)
{ (void)m;(void)l;(void)c;(void)where;(void)f; fprintf(stderr,"finding %s\n",w); }
