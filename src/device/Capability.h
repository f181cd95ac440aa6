#ifndef STROBE_DEVICE_CAPABILITY_H
#define STROBE_DEVICE_CAPABILITY_H

/** \file
 * What a machine can do, as data: one row an architecture. Legality
 * (schedule/CheckSchedule.h) and the cost model (autoscheduler/CostModel.h) read
 * these rows and nothing else about the machine. Rates are per clock cycle and
 * multiprocessor (a CPU's core counts as one).
 */

#include "Halide.h"

#include <cstdint>
#include <string>
#include <vector>

namespace strobe {

/** One family of matrix instructions. */
struct MatrixUnit {
    std::string name;                   // as a schedule names it: "wgmma", "mma"
    double fma_16bit = 0;               // bf16 and fp16, float32 accumulators
    double fma_tf32 = 0;                // float32 operands of which 10 mantissa bits are used
    int rows = 64;                      // rows of a tile that one warpgroup (4 warps) takes at a time
    int depth_bytes = 32;               // bytes along the contracted axis of one instruction
    int column_step = 8;                // columns of a result are a multiple of this
    int max_columns = 256;              // columns of one instruction's result
    double shared_bytes_per_clk = 128;  // operands that it reads from shared memory
};

struct Capability {
    enum class Kind { Cpu, Gpu };

    std::string name;  // "sm_90a", "x86-avx2"
    std::string text;  // the product that the figures are of
    Kind kind = Kind::Cpu;

    int multiprocessors = 1;
    double boost_ghz = 1;      // what the peak rates are quoted at
    double sustained_ghz = 1;  // under matrix load, after the power limit
    double fma_f32 = 0;        // scalar multiply-adds
    double special = 0;        // exponentials, reciprocals, hyperbolic tangents
    double issue = 0;          // lanes that can start an instruction
    double global_bytes_per_s = 0;
    double l2_bytes_per_clk = 0;
    int64_t l1_bytes = 0, l2_bytes = 0;

    // GPU
    int shared_bytes_per_block = 0;  // the most that a block may ask for
    int shared_bytes = 0;            // of a multiprocessor
    int registers = 0;               // 32-bit, of a multiprocessor
    int registers_per_thread = 255;
    int threads = 0;                       // resident in a multiprocessor
    int block_threads = 0;                 // of one block
    bool bulk_copies = false;              // tensor-map copies into shared memory (TMA)
    bool register_reallocation = false;    // warpgroups may trade registers (setmaxnreg)
    std::vector<MatrixUnit> matrix_units;  // the fastest first

    // CPU
    int vector_bytes = 0;

    bool is_gpu() const {
        return kind == Kind::Gpu;
    }
    /** Null if the machine has none of that name. */
    const MatrixUnit *matrix_unit(const std::string &name) const;
    /** Float lanes of a CPU's vector. */
    int float_lanes() const {
        return vector_bytes / 4;
    }
};

/** The row of a Halide target: by its CUDA capability if it has one, else by its
 * CPU features. Throws UserError, listing what there is, if no row fits. */
Capability capability_of(const Halide::Target &target);

/** By name: a GPU architecture as ptxas spells it ("sm_90a", "sm_90"), with or
 * without the prefix "cuda-"; "cpu" or "host" for this machine; or a Halide target
 * string. Throws UserError naming the nearest known one. */
Capability capability_of(const std::string &name);

}  // namespace strobe

#endif
