#include "StreamKernel.h"

namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

/** Copies one tile of an operand into its stage, panel by panel. */
void StreamKernel::produce_operand(Code &code, Elements &elements, const Operand &o, const Expr &iteration) {
    const Call *call = o.load->expr.as<Call>();
    const TileValue &v = program.value(o.name);
    const Expr full = o.streamed ? barrier(o.full) + u32(8 * stage_of(o, iteration)) : rows_full();
    for (int p = 0; p < o.panels(); p++) {
        const Expr to = shared(o.offset + p * o.panel_bytes()) + u32(stage_of(o, iteration) * o.stage_bytes());
        std::vector<Expr> args = {to, params.tensor_map(o.tensor_map), full};
        for (size_t d = 0; d < call->args.size(); d++) {
            Expr at = call->args[d];
            for (const TileDim &dim : v.dims) {
                const bool tiled = dim.axis == program.query.name || dim.axis == program.stream.name;
                at = substitute(dim.axis, tiled ? Variable::make(Int(32), dim.axis + ".lo") : Expr(0), at);
            }
            args.push_back(simplify(elements.row_value(at, 0) + (d == 0 ? 64 * p : 0)));
        }
        code.run("tensor_load", {std::to_string(call->args.size())}, args);
    }
}

/** Copies the streamed operands of the tile at registers "stream_lo/hi". */
void StreamKernel::produce_tile(Code &code, Elements &elements) {
    const Expr iteration = Code::get_int("iteration");
    for (const Operand &o : operands) {
        if (o.streamed) {
            const Expr stage = u32(8 * stage_of(o, iteration));
            code.run("barrier_wait", {}, {barrier(o.empty) + stage, phase_of(o, iteration) ^ u32(1)});
            code.run("barrier_expect", {}, {barrier(o.full) + stage, u32(o.stage_bytes())});
            produce_operand(code, elements, o, iteration);
        }
    }
}

/** The walk of one thread, or, when tiles must be judged at run time, of one warp
 * whose first thread copies. */
Stmt StreamKernel::producer() {
    Code code;
    Elements elements(program, params, code);
    elements.last_row = [this] { return last_row(program.query_tile); };
    int row_bytes = 0;
    for (const Operand &o : operands) {
        row_bytes += o.streamed ? 0 : o.stage_bytes();
        code.run("tensor_prefetch", {}, {params.tensor_map(o.tensor_map)});
    }
    code.set("work", Variable::make(Int(32), "k" + gpu_block_name(0)));
    code.set("works", Expr(0));
    code.set("iteration", Expr(0));
    const Expr works = Code::get_int("works");
    const auto slot_free = [&] { code.run("barrier_wait", {}, {rows_empty(), rows_phase() ^ u32(1)}); };
    code.loop(
        "produce",
        [&] {
            decode(code, elements);
            set_range(code, elements, "tile_first", "tile_count");
            code.when(thread_index() == 0, [&] {
                slot_free();
                const std::vector<std::string> registers = slot_registers();
                for (size_t n = 0; n < registers.size(); n++) {
                    code.run("store_shared", {}, {slot_address(n), Code::get_int(registers[n])});
                }
                code.run("barrier_expect", {}, {rows_full(), u32(row_bytes)});
                for (const Operand &o : operands) {
                    if (!o.streamed) {
                        produce_operand(code, elements, o, works);
                    }
                }
                code.set("ticket", cast<int32_t>(device::call(UInt(32), "atomic_add", {},
                                                              {params.workspace(counter), u32(1)})));
            });
            if (scans()) {
                produce_scanned(code, elements);
                code.set("ticket", device::shuffle_from(Code::get_int("ticket"), 0));
            } else {
                code.set("step", Expr(0));
                code.when(Code::get_int("tile_count") > 0, [&] {
                    code.loop(
                        "produce_tiles",
                        [&] {
                            set_tile(code, elements, Code::get_int("tile_first") + Code::get_int("tile_count") - 1 -
                                                         Code::get_int("step"));
                            produce_tile(code, elements);
                            code.set("iteration", Code::get_int("iteration") + 1);
                            code.set("step", Code::get_int("step") + 1);
                        },
                        [&] { return Code::get_int("step") < Code::get_int("tile_count"); });
                });
            }
            // The block that draws the last ticket leaves the counter as it found it.
            code.when(thread_index() == 0 && Code::get_int("ticket") == total_work() - 1, [&] {
                code.run("store_global", {}, {params.workspace(counter), u32(0)});
            });
            code.set("work", Code::get_int("ticket") + params.grid_size());
            code.set("works", works + 1);
        },
        [&] { return Code::get_int("work") < total_work(); });
    code.when(thread_index() == 0, [&] {
        slot_free();
        code.run("store_shared", {}, {slot_address(0), Expr(-1)});
        code.run("barrier_arrive", {}, {rows_full()});
    });
    return elements.with_kernel_values(
        Block::make(device::run("registers_shrink", {std::to_string(choices.producer_registers)}),
                    IfThenElse::make(thread_index() < (scans() ? 32 : 1), code.finish())));
}

Stmt StreamKernel::build() {
    Code code;
    code.when(thread_index() == 0, [&] {
        for (int n = 0; n < barriers; n++) {
            bool empty = n >= row_stages && n < 2 * row_stages;
            for (const Operand &o : operands) {
                empty |= o.streamed && n >= o.empty && n < o.empty + o.stages;
            }
            code.run("barrier_init", {}, {barrier(n), u32(empty ? choices.consumers : 1)});
        }
        code.run("barrier_init_fence");
    });
    code.run("sync_threads");
    code.emit(IfThenElse::make(thread_index() < 128, producer(), consumer()));
    Stmt body = LetStmt::make("shared_base", device::call(UInt(32), "shared_base"), code.finish());
    body = For::make("k" + gpu_thread_name(0), 0, kernel.threads, ForType::GPUThread, Partition::Never, DeviceAPI::CUDA,
                     body);
    return For::make("k" + gpu_block_name(0), 0, 1, ForType::GPUBlock, Partition::Never, DeviceAPI::CUDA, body);
}

}  // namespace strobe::cuda
