#ifndef STROBE_LOWER_CUDA_WALK_H
#define STROBE_LOWER_CUDA_WALK_H

/** \file
 * Tiles of the stream, in the registers that Elements reads: "stream_lo" is the corner
 * of a tile, "query_lo" that of the rows, axis_<name> the coordinates of the batch. */

#include "Elements.h"

namespace strobe::cuda {

/** Rounds up; for b > 0. */
inline Expr ceil_div(const Expr &a, int b) {
    return (a + (b - 1)) / b;
}

/** Unsigned division: cheaper than Halide's, which rounds down. */
inline Expr div_u(const Expr &a, const Expr &b) {
    return Halide::cast<int32_t>(u32(a) / u32(b));
}

/** Registers `first` and `count`: the tiles that meet the mask's [begin, end) for the rows query.lo to query.hi. */
void set_range(Code &code, Elements &elements, const TileProgram &program, const MaskVerdict &mask,
               const std::string &first, const std::string &count);

/** The corner of tile number `tile` of the stream. */
void set_tile(Code &code, Elements &elements, const TileProgram &program, const Expr &tile);

/** By a whole warp: registers `least` and `greatest` of a summary over `rows` rows from query_lo on, of
 * which `last` is the last. */
void reduce_over_rows(Code &code, Elements &elements, const TileProgram &program, const Summary &summary, int rows,
                      const Expr &last, const std::string &least, const std::string &greatest);

/** Lets Elements find a summary's least and greatest in registers. */
void bind_summary(Elements &elements, const TileProgram &program, const Summary &summary, const std::string &least,
                  const std::string &greatest);

}  // namespace strobe::cuda

#endif
