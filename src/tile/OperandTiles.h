#ifndef STROBE_TILE_OPERAND_TILES_H
#define STROBE_TILE_OPERAND_TILES_H

/** \file
 * Operands of contractions and reductions inside a tile: what an algorithm computes
 * from loaded tiles (rotary positions, norms, feature maps), and the sums, maxima ...
 * over the features of rows and columns that it needs for that. */

#include "TileBuilder.h"

namespace strobe {

/** \p e with every input element that is indexed by at least one tile axis, but not
 * both by rows and by the stream, replaced by the loaded tile of that input. Inner
 * reductions that e refers to are computed. */
Expr over_loaded_tiles(TileBuilder &builder, const Expr &e);

/** The tile with the values of a product of factors over these axes, as the operand
 * of a contraction: the loaded tile where the product is one input element, else a
 * tile that is computed once a block (or once a tile of the stream), rounded to
 * \p type if that is narrower. */
std::string operand_tile(TileBuilder &builder, const std::vector<Expr> &factors, const std::set<std::string> &axes,
                         Type type, const std::string &name);

/** Computes a reduction over axes that lie inside a tile, in the first of these ways
 * that applies:
 *  - the sum of a product of factors of the rows and factors of the stream, over one
 *    axis: a contraction (Contract), or several for a sum of such products;
 *  - few elements (at most 16): written out, elementwise;
 *  - else: Reduce along the longest axis, the others written out.
 * What is free of the stream is computed once a block. */
void build_inner_reduction(TileBuilder &builder, const Reduction &r);

/** Copies of \p e for each element of the axes, whose sizes are constants; combined with op. */
Expr written_out(TileBuilder &builder, const Expr &e, const std::vector<std::string> &axes, ReduceOp op);

}  // namespace strobe

#endif
