// Inputs that have an element for each row and column: addresses once a row, and reading early.

#include "ElementSplit.h"

#include <algorithm>

namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

/** The dimension of a load whose index is the column, if no other depends on it or on a tile's values; else -1. */
int Elements::column_dimension(const Call *load) const {
    int dim = -1;
    for (size_t d = 0; d < load->args.size(); d++) {
        const Variable *v = load->args[d].as<Variable>();
        const Dependence index = dependence(load->args[d]);
        if (v && v->name == column_axis && dim < 0) {
            dim = static_cast<int>(d);
        } else if (index.differs() || index.state) {
            return -1;
        }
    }
    const bool word = load->type.bits() == 32 || (load->type.is_float() && load->type.bits() == 16);
    return word ? dim : -1;
}

/** Registers "<name>_row", r: the address of row r at the thread's first column; "<name>_left": the columns from
 * there to the end. Clamped coordinates and products of strides once a row, not once an element. */
void Elements::set_element_rows(const std::string &name, const Call *load, int dim) {
    const std::string &buffer = load->param.name();
    const int bytes = load->type.bytes();
    const auto known = std::find_if(row_starts.begin(), row_starts.end(),
                                    [&](const Preloaded &s) { return equal(s.load, Expr(load)); });
    const bool streamed = column_axis == program.stream.name, is_new = known == row_starts.end();
    const std::string start_name = is_new ? name + "_start" : known->name;
    if (is_new && streamed) {
        row_starts.push_back({load, start_name});
    }
    for (int r = 0; r < 2; r++) {
        Expr index = make_zero(Int(64));
        for (size_t d = 0; d < load->args.size(); d++) {
            if (static_cast<int>(d) != dim) {
                const Dependence dep = dependence(load->args[d]);
                Expr at = row_value(load->args[d], r);
                at = dep.row ? max(min(at, parameters.extent(buffer, d) - 1), 0) : at;
                index = index + cast<int64_t>(at) * parameters.stride(buffer, d);
            }
        }
        const Expr start = parameters.pointer(buffer) + cast<uint64_t>(index * bytes);
        const Expr column = cast<uint64_t>(cast<int64_t>(first_column()) * parameters.stride(buffer, dim) * bytes);
        if (streamed) {
            if (is_new) {
                block_start.push_back(device::set(start_name, r, start));
            }
            code.set(name + "_row", r, device::get(UInt(64), start_name, r) + column);
        } else {
            code.set(name + "_row", r, start + column);
        }
    }
    code.set(name + "_left", parameters.extent(buffer, dim) - first_column());
}

/** The element of row r and the column `offset` behind the thread's first; 0 beyond the input's end. */
Expr Elements::element_of(const std::string &name, const Call *load, int dim, int r, int offset) const {
    const std::string &buffer = load->param.name();
    const Expr distance = parameters.stride(buffer, dim) * IntImm::make(Int(64), offset * load->type.bytes());
    const Expr address = device::get(UInt(64), name + "_row", r) + cast<uint64_t>(distance);
    return device::load_global_if(load->type, address, Code::get_int(name + "_left") > offset);
}

std::string Elements::preloaded(const Call *load) const {
    for (const Preloaded &p : preloads) {
        if (equal(p.load, Expr(load))) {
            return p.name;
        }
    }
    return "";
}

bool Elements::in_tile(const Expr &load) const {
    return has_tile && has_tile(load, column_axis);
}

/** An element of what has been read from a tile: of row r, and of the two columns from 8 * group on the one of this
 * parity. */
Expr Elements::tile_value(const Call *load, const std::string &name, int r, int group, int parity) const {
    const Expr pair = device::get(UInt(32), name, 2 * group + r);
    if (load->type.is_bfloat()) {
        return reinterpret(Float(32), parity ? pair & u32(Expr(0xFFFF0000u)) : pair << u32(16));
    }
    return device::call(Float(32), "from_f16", {}, {parity ? pair >> u32(16) : pair});
}

void Elements::preload(const TileOp &op) {
    if (program.value(op.dst).dims.size() < 2) {
        return;
    }
    const TileDim &columns = program.value(op.dst).dims[1];
    use_columns(columns.axis);
    Split split(*this);
    split.mutate(without_aliases(op.expr));
    for (const auto &x : split.elements) {
        if (!x.registers.empty() || in_tile(x.load)) {
            continue;
        }
        const std::string name = x.name.substr(1);
        set_element_rows(name, x.load, x.dim);
        for (int n = 0; n < (columns.size + 7) / 8 * 4; n++) {
            code.set(name + "_value", n, element_of(name, x.load, x.dim, n / 2 % 2, n / 4 * 8 + n % 2));
        }
        preloads.push_back({x.load, name + "_value"});
    }
}

}  // namespace strobe::cuda
