#include "CompleteChoices.h"

#include "CheckSchedule.h"

#include <algorithm>
#include <set>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

bool uses(const Expr &e, const std::string &axis) {
    return e.defined() && (expr_uses_var(e, axis + ".lo") || expr_uses_var(e, axis + ".hi"));
}

class Completer {
    Choices &c;
    const std::set<std::string> &given;
    const Workload &work;
    const Plan &plan;
    const Capability &machine;

    bool has(const std::string &name) const {
        return given.count(name) > 0;
    }

    int rows() const {
        return machine.matrix_units.empty() ? 64 : machine.matrix_units[0].rows;
    }

    bool fits() const {
        return !check_resources(work, c, machine);
    }

    void set_registers() {
        if (!has("registers")) {
            const RegisterSplit split = largest_split(std::max(1, c.consumers), c.producers, machine, work);
            c.consumer_registers = split.consumer;
            c.producer_registers = split.producer;
        }
    }

    /** The largest stream tile that fits, up to \p most; false if none does. */
    bool set_stream(int most) {
        if (has("stream")) {
            return fits();
        }
        for (c.stream_tile = most; c.stream_tile > 16 && !fits(); c.stream_tile -= 16) {
        }
        return fits();
    }

    void set_gpu_tiles() {
        c.producers = has("producer") ? c.producers : machine.bulk_copies ? 1 : 0;
        if (has("tile") || has("warps")) {
            c.consumers = has("warps") ? c.consumers : std::max(1, c.query_tile / rows());
            c.query_tile = has("tile") ? c.query_tile : c.row_groups() * rows();
            set_registers();
            set_stream(128);
            return;
        }
        // The most rows a block whose scores still take a stream tile of 128 columns: they share each
        // tile of keys and values, and one warpgroup's matrix work hides another's exponentials.
        // Chains of a step go to warpgroups of their own where one cannot hold them all.
        const std::set<int> ways = {1, work.chains()};
        for (int least : {128, 64, 16}) {
            for (int chains : ways) {
                for (c.consumers = 3 / chains * chains; c.consumers > 0; c.consumers -= chains) {
                    c.chains = chains;
                    c.query_tile = c.row_groups() * rows();
                    set_registers();
                    if (set_stream(128) && (has("stream") || c.stream_tile >= least)) {
                        return;
                    }
                }
            }
        }
        c.chains = 1;
        c.consumers = 1;
        c.query_tile = rows();
        set_registers();
        set_stream(128);
    }

    /** Tiles that most algorithms fit; the lowering knows what they take. */
    void set_general_tiles() {
        c.consumers = c.producers = c.consumer_registers = c.producer_registers = 0;
        c.stages = 1;
        c.copies = "copy";
        c.query_tile = has("tile") ? c.query_tile : 64;
        const int usual = c.exchange && c.query_tile % 64 != 0 ? c.query_tile : 64;
        c.stream_tile = has("stream") ? c.stream_tile : usual;
    }

    void set_cpu_tiles() {
        c.consumers = 1;
        c.producers = c.consumer_registers = c.producer_registers = 0;
        c.stages = 1;
        c.vector_lanes = has("vectorize") ? c.vector_lanes : machine.float_lanes();
        c.query_tile = has("tile") ? c.query_tile : 64;
        if (has("stream")) {
            return;
        }
        if (c.exchange) {  // tiles that end where a block's rows begin
            c.stream_tile = c.query_tile;
            return;
        }
        for (c.stream_tile = 512; c.stream_tile > 128; c.stream_tile /= 2) {
            if (footprint_of(work, c, machine).shared_bytes <= machine.l2_bytes / 2) {
                break;
            }
        }
    }

    void set_matrix_unit() {
        for (const Contraction &k : work.contractions) {
            const std::string own = own_operand_type(k);
            const bool computed = std::any_of(k.operands.begin(), k.operands.end(),
                                              [](const Operand &o) { return o.computed; });
            if (computed && (c.general || !machine.bulk_copies)) {
                continue;  // the form without warp roles computes operands where they are used, unrounded
            }
            if (k.matrix && (own == "bf16" || own == "fp16") && !machine.matrix_units.empty()) {
                c.mma.insert({k.func, own});
                c.instruction = c.instruction.empty() ? machine.matrix_units[0].name : c.instruction;
            }
        }
    }

    int running_pivots() const {
        int count = 0;
        for (const PassWorkload &p : work.passes) {
            count += p.running_pivots;
        }
        return count;
    }

public:
    Completer(Choices &c, const std::set<std::string> &given, const Workload &work, const Plan &plan,
              const Capability &machine)
        : c(c), given(given), work(work), plan(plan), machine(machine) {
    }

    void complete() {
        set_matrix_unit();
        if (c.general) {
            set_general_tiles();
        } else if (machine.is_gpu()) {
            c.copies = c.copies.empty() ? (machine.bulk_copies ? "tma" : "copy") : c.copies;
            set_gpu_tiles();
        } else {
            set_cpu_tiles();
        }
        const bool gpu = machine.is_gpu() && !c.general;
        c.pingpong = has("pingpong") ? c.pingpong : gpu && c.consumers >= 3;
        c.persistent = has("persistent") ? c.persistent : gpu;
        c.query_descending = has("blocks") ? c.query_descending : rows_grow(plan);
        c.rescale_bits = has("rescale_when") ? c.rescale_bits : gpu && running_pivots() > 0 ? 8 : 0;
        c.block_order = has("blocks") ? c.block_order : plan.roles.batch;
    }
};

}  // namespace

void complete_choices(Choices &choices, const std::set<std::string> &given, const Workload &work, const Plan &plan,
                      const Capability &capability) {
    Completer(choices, given, work, plan, capability).complete();
}

bool rows_grow(const Plan &plan) {
    return std::any_of(plan.passes.begin(), plan.passes.end(), [&](const Pass &p) {
        return uses(p.mask.end, plan.roles.query) && !uses(p.mask.begin, plan.roles.query);
    });
}

bool has_mask(const Plan &plan) {
    return std::any_of(plan.passes.begin(), plan.passes.end(),
                       [](const Pass &p) { return p.mask.guard.defined() && !is_const_one(p.mask.guard); });
}

std::string own_operand_type(const Contraction &c) {
    std::string name;
    for (const Operand &o : c.operands) {
        const std::string own = o.type.is_bfloat()                         ? "bf16"
                                : o.type == Float(16)                      ? "fp16"
                                : o.type.is_float() && o.type.bits() == 32 ? "fp32"
                                                                           : "";
        if (own.empty() || (!name.empty() && own != name)) {
            return "";
        }
        name = own;
    }
    return name;
}

}  // namespace strobe
