#ifndef STROBE_LOWER_CUDA_JUDGE_H
#define STROBE_LOWER_CUDA_JUDGE_H

/** \file
 * The verdicts of the kernel that judges tiles before the main one (Order.h). */

#include "Elements.h"
#include "MaskParts.h"
#include "Order.h"

namespace strobe::cuda {

/** Warps of a block of the kernel that judges. */
int judges_of(const BlockOrder &order, const TileProgram &program);

/** Writes the code of the kernel that judges: a block of threads for an item, and each warp for some chunks of the
 * tiles that 64 of its rows meet. */
class Judge {
    const TileProgram &program;
    MaskVerdict mask;
    const BlockOrder &order;
    const PackageArguments &arguments;
    const KernelPackage &package;
    KernelParameters &parameters;
    Code &code;
    Elements &elements;
    std::vector<MaskPart> parts;
    const int groups, judges;
    Expr exact;  // the summaries are what they say

    void use_rows(int count);
    void load_summaries(bool of_rows);
    void load_fixed();
    void judge();
    void store_words(const Expr &keys);
    void add_up();

public:
    Judge(const TileProgram &program, const StreamPass &pass, const BlockOrder &order, const PackageArguments &arguments,
          const KernelPackage &package, KernelParameters &parameters, Code &code, Elements &elements);

    /** Registers of thread 0: "live_tiles", of the rows at "query_lo" and of the batch's coordinates, and the chunks
     * that have some, "chunk_first" and "chunk_count"; the last of these has one. */
    void run();
};

}  // namespace strobe::cuda

#endif
