#ifndef STROBE_TILE_TILE_MASK_H
#define STROBE_TILE_TILE_MASK_H

/** \file
 * The mask of a pass as its tiles need it: with the tail of the stream added, the
 * schedule's choices applied, and written so that an element costs little. */

#include "TileBuilder.h"

namespace strobe {

/** \p derived: the plan's mask. */
MaskVerdict tile_mask(const TileBuilder &b, const MaskVerdict &derived);

/** Where \p e asks whether m divides a difference of something of the row and something of the
 * column, it compares their remainders: those are one value a row and one a column. */
Expr with_remainders_apart(const Expr &e, const std::string &query, const std::string &stream);

}  // namespace strobe

#endif
