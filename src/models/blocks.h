/* SPDX-License-Identifier: MIT
 * blocks.h - the blocks a model file may use, one header each. Each call declares the block's parameters below `at` and
 * attaches its ops. A field left out is off. Names that are NULL take the usual spelling.
 */
#ifndef TARE_MODELS_BLOCKS_H
#define TARE_MODELS_BLOCKS_H

#include "blocks/activation.h"
#include "blocks/attention/gqa.h"
#include "blocks/decoder.h"
#include "blocks/feed_forward/glu.h"
#include "blocks/feed_forward/mixture.h"
#include "blocks/feed_forward/mlp.h"
#include "blocks/feed_forward/router.h"
#include "blocks/projection.h"
#include "blocks/recurrent/rg_lru.h"
#include "blocks/rope.h"
#include "blocks/stream/per_layer.h"
#include "config/args.h"

#endif
