#include "StreamKernel.h"

#include <functional>

namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

bool StreamKernel::scans() const {
    return needs_scan(pass.mask);
}

/** Where the producer notes which tile an iteration holds: 4 * tile, + 1 if it is
 * partial, + 2 if it is the block's last; or -1 for a block without live tiles. Twice
 * as many notes as stages, so that a slow warp still finds its own. */
Expr StreamKernel::note_address(const Expr &iteration) const {
    return shared(note_offset) + u32(iteration) % u32(notes) * u32(4);
}

const Operand *StreamKernel::first_streamed() const {
    for (const Operand &o : operands) {
        if (o.streamed) {
            return &o;
        }
    }
    return nullptr;
}

/** Least and greatest element of a load over the block's rows, by the whole warp. */
void StreamKernel::reduce_over_rows(Code &code, Elements &elements, const Summary &summary) {
    const std::string least = plain(summary.name) + "_least", greatest = plain(summary.name) + "_greatest";
    const Type type = summary_type(program, summary);
    elements.bindings["$element"] = [] { return Code::get_int("element"); };
    const Expr load = cast(type, substitute(program.query.name, Variable::make(Int(32), "$element"), summary.load));
    for (int step = 0; step < program.query_tile / 32; step++) {
        code.set("element", min(Code::get_int("query_lo") + step * 32 + thread_index(), last_row(program.query_tile)));
        code.set("value", elements.row_value(load, 0));
        const Expr value = device::get(type, "value", 0);
        code.set(least, step == 0 ? value : min(device::get(type, least, 0), value));
        code.set(greatest, step == 0 ? value : max(device::get(type, greatest, 0), value));
    }
    for (int mask = 16; mask > 0; mask /= 2) {
        const Expr low = device::get(type, least, 0), high = device::get(type, greatest, 0);
        code.set(least, min(low, device::shuffle_xor(low, mask)));
        code.set(greatest, max(high, device::shuffle_xor(high, mask)));
    }
}

void StreamKernel::bind_summaries(Code &code, Elements &elements) {
    for (const Summary &summary : pass.mask.summaries) {
        const Type type = summary_type(program, summary), declared = summary.load.type();
        const std::string name = plain(summary.name);
        if (summary.axis == program.query.name) {
            reduce_over_rows(code, elements, summary);
            elements.bindings[summary.name + ".min"] = [=] {
                return cast(declared, device::get(type, name + "_least", 0));
            };
            elements.bindings[summary.name + ".max"] = [=] {
                return cast(declared, device::get(type, name + "_greatest", 0));
            };
            continue;
        }
        const Summary *s = &summary;
        const auto element = [this, s, type, declared](int offset) {
            const Expr at = summary_address(program, *s, arguments, package, params,
                                            params.workspace(summary_workspace.at(s->name)), Code::get_int("candidate"),
                                            [](const std::string &axis) { return Code::get_int("axis_" + plain(axis)); });
            return cast(declared, device::call(type, "load_workspace", {}, {at + UIntImm::make(UInt(64), offset)}));
        };
        elements.bindings[summary.name + ".min"] = [=] { return element(0); };
        elements.bindings[summary.name + ".max"] = [=] { return element(4); };
    }
}

/** Copies the tile found last, now that it is known whether another follows. */
void StreamKernel::emit_pending(Code &code, Elements &elements, bool last) {
    code.when(thread_index() == 0, [&] {
        set_tile(code, elements, Code::get_int("pending") >> 2);
        const Operand *first = first_streamed();
        const Expr iteration = Code::get_int("iteration");
        // The note's slot is free once the first operand's stage is.
        code.run("barrier_wait", {},
                 {barrier(first->empty) + u32(8 * stage_of(*first, iteration)),
                  phase_of(*first, iteration) ^ u32(1)});
        code.run("store_shared", {}, {note_address(iteration), Code::get_int("pending") + (last ? 2 : 0)});
        produce_tile(code, elements);
    });
    code.run("sync_warp");
    code.set("iteration", Code::get_int("iteration") + 1);
}

/** The warp judges 32 tiles at a time; live ones are copied in order. */
void StreamKernel::produce_scanned(Code &code, Elements &elements) {
    bind_summaries(code, elements);
    const Expr lane = thread_index();
    code.set("pending", Expr(-1));
    code.set("step", Expr(0));
    code.when(Code::get_int("tile_count") > 0, [&] {
        code.loop(
            "scan",
            [&] {
                code.set("candidate", min(Code::get_int("step") + lane, Code::get_int("tile_count") - 1) +
                                          Code::get_int("tile_first"));
                set_tile(code, elements, Code::get_int("candidate"));
                code.set("dead", select(elements.row_value(pass.mask.dead, 0), 1, 0));
                code.set("full", select(elements.row_value(pass.mask.full, 0), 1, 0));
                const Expr inside = Code::get_int("step") + lane < Code::get_int("tile_count");
                code.set("live", cast<int32_t>(device::ballot(inside && Code::get_int("dead") == 0)));
                code.set("whole", cast<int32_t>(device::ballot(Code::get_int("full") != 0)));
                code.when(Code::get_int("live") != 0, [&] {
                    code.loop(
                        "live_tiles",
                        [&] {
                            code.when(Code::get_int("pending") >= 0, [&] { emit_pending(code, elements, false); });
                            code.set("bit", device::call(Int(32), "first_bit", {}, {Code::get_int("live")}));
                            const Expr bit = Code::get_int("bit");
                            const Expr is_whole = (Code::get_int("whole") >> bit) & 1;
                            code.set("pending", (Code::get_int("tile_first") + Code::get_int("step") + bit) * 4 +
                                                    (1 - is_whole));
                            code.set("live", Code::get_int("live") & (Code::get_int("live") - 1));
                        },
                        [&] { return Code::get_int("live") != 0; });
                });
                code.set("step", Code::get_int("step") + 32);
            },
            [&] { return Code::get_int("step") < Code::get_int("tile_count"); });
    });
    const Expr none = Code::get_int("pending") < 0;
    code.when(none && lane == 0, [&] {
        const Expr iteration = Code::get_int("iteration");
        const Operand *first = first_streamed();
        for (const Operand &o : operands) {
            if (o.streamed) {
                const Expr stage = u32(8 * stage_of(o, iteration));
                code.run("barrier_wait", {}, {barrier(o.empty) + stage, phase_of(o, iteration) ^ u32(1)});
                if (&o == first) {  // its full barrier lets the consumers read the note
                    code.run("store_shared", {}, {note_address(iteration), Expr(-1)});
                }
                code.run("barrier_arrive", {}, {barrier(o.full) + stage});
            }
        }
    });
    code.run("sync_warp");
    code.when(Code::get_int("pending") >= 0, [&] { emit_pending(code, elements, true); });
    code.when(Code::get_int("pending") < 0, [&] { code.set("iteration", Code::get_int("iteration") + 1); });
}

}  // namespace strobe::cuda
