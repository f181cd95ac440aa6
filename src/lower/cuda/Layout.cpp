#include "StreamKernel.h"

#include "Coverage.h"
#include "support/Error.h"

#include <algorithm>

namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** What a block may have on sm_90. */
const int max_shared_bytes = 227 * 1024;

int align(int x, int to) {
    return (x + to - 1) / to * to;
}

}  // namespace

StreamKernel::StreamKernel(const PreparedProgram &prepared, const Choices &choices, const PackageArguments &arguments,
                           KernelPackage &package, LaunchPlan &plan, KernelSpec &kernel, const BlockOrder &order)
    : prepared(prepared), program(prepared.program), pass(prepared.program.passes[0]), choices(choices),
      arguments(arguments), package(package), plan(plan), kernel(kernel), params(arguments, kernel), order(order), parts(mask_parts(pass, choices.row_groups())) {
    sort_ops();
    find_lane_partial();
    find_columns();
    sort_chains();
    find_element_tiles();
    lay_out();
}

void StreamKernel::refuse(const std::string &what) const {
    strobe_user_error() << "In algorithm " << program.name << ": no wgmma kernel for " << what;
}

int Operand::copied_bytes() const {
    return prepared || elements ? stage_bytes() : rows * columns * 2;
}

/** The load's index must name each tile axis once, the contiguous one first. */
static int dimension_of(const Call *call, const std::string &axis) {
    for (size_t d = 0; d < call->args.size(); d++) {
        const Variable *v = call->args[d].as<Variable>();
        if (v && v->name == axis) {
            return static_cast<int>(d);
        }
    }
    return -1;
}

int StreamKernel::add_tensor_map(const std::string &buffer, const std::vector<uint32_t> &box) {
    TensorMapSpec spec;
    spec.buffer = arguments.buffer(buffer);
    spec.box = box;
    plan.tensor_maps.push_back(spec);
    return static_cast<int>(plan.tensor_maps.size()) - 1;
}

void StreamKernel::sort_ops() {
    const auto add_load = [&](const TileOp &op, bool streamed) {
        const TileValue &v = program.value(op.dst);
        if (const PreparedTile *computed = prepared.find(op.dst)) {
            Operand o;
            o.load = op.expr;
            o.name = op.dst;
            o.dims = v.dims;
            o.rows = v.dims[0].size;
            o.columns = v.dims[1].size;
            o.streamed = streamed;
            o.stages = streamed ? choices.stages : 1;
            o.prepared = computed;
            operands.push_back(o);
            return;
        }
        const Call *call = op.expr.as<Call>();
        strobe_internal_assert(call && call->call_type == Call::Image && v.dims.size() == 2) << "load of " << op.dst;
        if (call->type.bits() != 16 || !call->type.is_float()) {
            std::ostringstream text;
            text << "the operand " << call->name << " of type " << call->type
                 << ": the matrix unit takes bf16 or fp16 here; use one of them, or the CPU target";
            refuse(text.str());
        }
        Operand o;
        o.load = op.expr;
        o.name = op.dst;
        o.dims = v.dims;
        o.rows = v.dims[0].size;
        o.columns = v.dims[1].size;
        o.streamed = streamed;
        o.stages = streamed ? choices.stages : 1;
        int row_dim = dimension_of(call, v.dims[0].axis);
        const int column_dim = dimension_of(call, v.dims[1].axis);
        const auto pages = row_dim < 0 && streamed ? pages_of(call, v.dims[0].axis, o.rows) : std::nullopt;
        if (pages) {
            row_dim = o.page_dim = pages->dim;
            o.page_rows = std::min(pages->rows, o.rows);
        }
        if (row_dim < 0 || column_dim != 0) {
            refuse("the load of " + call->name + ": its innermost dimension must be indexed by " + v.dims[1].axis +
                   " alone and another by " + v.dims[0].axis + " alone");
        }
        std::vector<uint32_t> box(call->args.size(), 1);
        box[0] = o.panel_columns(0);  // no more than there are: what is beyond would cost as much to bring as elements
        box[row_dim] = pages ? o.page_rows : o.rows;
        o.tensor_map = o.last_map = add_tensor_map(call->param.name(), box);
        if (o.panel_columns(o.panels() - 1) != o.panel_columns(0)) {
            box[0] = o.panel_columns(o.panels() - 1);
            o.last_map = add_tensor_map(call->param.name(), box);
        }
        operands.push_back(o);
    };
    for (const TileOp &op : pass.prologue) {
        if (op.kind == TileOp::Kind::Load) {
            add_load(op, false);
        }
    }
    for (const TileOp &op : pass.step) {
        if (op.kind == TileOp::Kind::Load) {
            add_load(op, true);
        } else if (op.kind == TileOp::Kind::Contract) {
            const bool accumulates = op.accumulate && program.value(op.a).place == Place::Fragment;
            if (!accumulates && (op.accumulate || program.value(op.a).place != Place::Shared)) {
                refuse("the contraction of " + op.a + " with " + op.b);
            }
            (accumulates ? sums : scores).push_back(&op);
            if (accumulates) {
                accumulators.insert(op.dst);
            }
        }
    }
    // What the next tile's scores need comes first; the sums take theirs a step later.
    for (Operand &o : operands) {
        o.early = o.streamed && std::any_of(scores.begin(), scores.end(), [&](const TileOp *op) {
                      return op->a == o.name || op->b == o.name;
                  });
    }
    std::stable_partition(operands.begin(), operands.end(), [](const Operand &o) { return !o.streamed || o.early; });
    for (const TileOp &op : pass.epilogue) {
        if (op.kind != TileOp::Kind::Store) {
            continue;
        }
        for (const std::string &axis : op.out_axes) {
            for (const Axis &column : program.columns) {
                if (column.name == axis) {
                    Staged s;
                    s.store = &op;
                    s.feature = axis;
                    for (const TileValue &v : program.values) {
                        for (const TileDim &d : v.dims) {
                            s.columns = d.axis == axis ? d.size : s.columns;
                        }
                    }
                    staged.push_back(s);
                }
            }
        }
    }
}

/** A row sum that only feeds a row state s = s * factor + sum (or s + sum) can stay
 * one partial sum a lane until the epilogue. */
void StreamKernel::find_lane_partial() {
    const auto uses = [&](const std::string &name) {
        std::vector<const TileOp *> found;
        for (const TileOp &op : pass.step) {
            if ((op.expr.defined() && expr_uses_var(op.expr, name)) || op.a == name || op.b == name) {
                found.push_back(&op);
            }
        }
        return found;
    };
    for (const TileOp &op : pass.step) {
        if (op.kind != TileOp::Kind::Reduce || op.op != ReduceOp::Sum) {
            continue;
        }
        const auto users = uses(op.dst);
        if (users.size() != 1 || users[0]->kind != TileOp::Kind::Map || users[0]->when != TileOp::When::Always) {
            continue;
        }
        const TileOp &update = *users[0];
        const Add *sum = update.expr.as<Add>();
        const Variable *part = sum ? sum->b.as<Variable>() : nullptr;
        if (!part || part->name != op.dst) {
            continue;
        }
        const Mul *scaled = sum->a.as<Mul>();
        const Variable *old = (scaled ? scaled->a : sum->a).as<Variable>();
        const bool linear = old && old->name == update.dst && (!scaled || !expr_uses_var(scaled->b, update.dst));
        bool zero = false;
        for (const TileOp &fill : pass.prologue) {
            zero |= fill.kind == TileOp::Kind::Fill && fill.dst == update.dst && is_const_zero(fill.expr);
        }
        if (linear && zero && uses(update.dst).size() == 1) {
            lane_partial.insert(op.dst);
            lane_partial.insert(update.dst);
        }
    }
}

void StreamKernel::lay_out() {
    // Two blocks' row operands, if they fit: warpgroups then need not wait for each
    // other between blocks.
    const auto shared_bytes = [&](int stages) {
        int bytes = 1024 + column_slots() * column_bytes();  // barriers, slots, alignment, columns
        for (const Operand &o : operands) {
            bytes += o.in_result >= 0 ? 0 : (o.in_block() ? 1 : is_row_operand(o) ? stages : o.stages) * o.stage_bytes();
        }
        for (const Staged &s : staged) {
            bytes += s.panels() * program.query_tile * 128;
        }
        bytes += lay_out_exchange(0);
        return bytes;
    };
    row_stages = shared_bytes(2) <= max_shared_bytes ? 2 : 1;
    int offset = 0;
    barriers = 2 * row_stages;  // row operands: full, empty
    for (Operand &o : operands) {
        o.stages = o.in_block() ? 1 : is_row_operand(o) ? row_stages : o.stages;
        o.offset = offset;
        offset = o.in_result >= 0 ? offset : align(offset + o.stages * o.stage_bytes(), 1024);
        if (!is_row_operand(o)) {
            o.full = barriers;
            o.empty = barriers + o.stages;
            barriers += 2 * o.stages;
        }
    }
    for (Staged &s : staged) {
        s.offset = offset;
        for (Operand &o : operands) {
            o.offset = o.in_result >= 0 && &staged[o.in_result] == &s ? offset : o.offset;
        }
        offset += s.panels() * program.query_tile * 128;
        std::vector<uint32_t> box;
        for (const std::string &axis : s.store->out_axes) {
            box.push_back(axis == s.feature || axis == program.query.name ? 64 : 1);
        }
        if (s.store->out_axes[0] != s.feature) {
            refuse("output " + s.store->dst + ": its innermost dimension must be the feature axis " + s.feature);
        }
        s.tensor_map = add_tensor_map(s.store->dst, box);
    }
    offset = lay_out_exchange(offset);
    if (scans()) {
        batch_barriers = barriers;
        barriers += scan_barriers();
        if (!columns.empty()) {
            note_barriers = barriers;
            barriers += choices.stages;
        }
    }
    for (Operand &o : operands) {
        o.by_threads = &o == first_streamed() && (scans() || !columns.empty());
    }
    column_offset = offset;
    offset += column_slots() * column_bytes();
    barrier_offset = offset;
    slot_offset = offset + 8 * barriers;
    offset = slot_offset + row_stages * 4 * static_cast<int>(slot_registers().size());
    kernel.shared_bytes = align(scans() ? lay_out_scan(offset) : offset, 128);
    if (kernel.shared_bytes > max_shared_bytes) {
        refuse("tiles of " + std::to_string(kernel.shared_bytes) + " bytes of shared memory, of " +
               std::to_string(max_shared_bytes) + ": smaller tiles or fewer stages fit");
    }
    kernel.threads = 128 * (choices.consumers + 1);
    kernel.persistent = choices.persistent;
    counter = static_cast<int>(plan.workspaces.size());
    WorkspaceSpec queue;
    queue.zeroed = true;
    plan.workspaces.push_back(queue);
    if (program.query_tile != 64 * choices.row_groups()) {
        refuse("a query tile of " + std::to_string(program.query_tile) + " rows and " +
               std::to_string(choices.consumers) + " consumer warpgroups, " + std::to_string(choices.chains) +
               " for the same rows: it must be 64 rows each");
    }
}

const Operand &StreamKernel::operand(const std::string &name) const {
    for (const Operand &o : operands) {
        if (o.name == name) {
            return o;
        }
    }
    strobe_internal_error() << "no operand " << name;
}

}  // namespace strobe::cuda
