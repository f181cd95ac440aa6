#ifndef STROBE_LOWER_CUDA_VERDICT_H
#define STROBE_LOWER_CUDA_VERDICT_H

/** \file
 * Masks whose verdict depends on data: the least and greatest element of a load in
 * each tile of the stream, computed by a kernel of its own before the main one, in
 * time and memory proportional to the number of tiles. */

#include "Parameters.h"

namespace strobe::cuda {

/** The type that the least and greatest elements of a load are kept in: 32 bits wide. */
Halide::Type summary_type(const TileProgram &program, const Summary &summary);

/** The value in that type, or the end of the type's range that it is beyond. */
Expr saturated(const Halide::Type &type, const Expr &value);

/** What is kept are the least and the greatest of a load of the declared type: none was beyond the range. */
Expr is_exact(const Halide::Type &declared, const Expr &least, const Expr &greatest);

/** The number of points of an axis, in the kernel of `parameters`. */
Expr extent_in(const Axis &axis, const PackageArguments &arguments, const KernelPackage &package,
               KernelParameters &parameters);

/** True if the verdict of a tile must be asked for at run time: some tile inside the
 * solved range may be dead. */
bool needs_scan(const MaskVerdict &mask);

/** Adds to the plan one kernel and one workspace per summary over the stream, and
 * returns the workspace of each. The workspace holds pairs (least, greatest) for
 * tile t of the batch point n at t + tiles * n, where n counts the axes that the load uses. */
std::map<std::string, int> add_summary_kernels(const TileProgram &program, const StreamPass &pass,
                                               const PackageArguments &arguments, KernelPackage &package,
                                               LaunchPlan &plan, const std::string &entry,
                                               std::vector<std::pair<Halide::Internal::Stmt, KernelParameters>> &bodies);

/** Address of the pair of the tile, in the kernel of `parameters`; axis(name) gives a
 * batch axis' coordinate there. */
Expr summary_address(const TileProgram &program, const Summary &summary, const PackageArguments &arguments,
                     const KernelPackage &package, KernelParameters &parameters, const Expr &workspace, const Expr &tile,
                     const std::function<Expr(const std::string &)> &axis);

}  // namespace strobe::cuda

#endif
