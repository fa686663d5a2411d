#include <cstring>

#include "bind_arrays.hpp"
#include "narrows/stack.hpp"

std::shared_ptr<const narrows::Tables> tables_of(nb::handle held);

void bind_stack(nb::module_& m) {
    using narrows::Stack;
    nb::class_<Stack>(m, "Stack")
        .def(nb::init<>())
        .def("__copy__", [](const Stack& self) { return Stack(self); })
        .def("push",
             [](Stack& self, const Array& symbols, const Array& index, nb::handle tables) {
                 const auto held = tables_of(tables);
                 const narrows::Indexes i = indexes_of(index);
                 const auto s = int32_of(symbols);
                 run_alone([&](std::string& what) { return self.push(s, i, *held, what); });
             })
        .def("pop",
             [](Stack& self, const WritableArray& symbols, const Array& index, nb::handle tables) {
                 const auto held = tables_of(tables);
                 const narrows::Indexes i = indexes_of(index);
                 const auto s = writable_int32_of(symbols);
                 run_alone([&](std::string& what) { return self.pop(s, i, *held, what); });
             })
        .def("state", &Stack::state)
        .def("num_words", [](const Stack& self) { return self.words().size(); })
        .def("words",
             [](const Stack& self) {
                 return nb::bytes(reinterpret_cast<const char*>(self.words().data()), self.words().size_bytes());
             })
        .def("set", [](Stack& self, uint64_t state, const nb::bytes& words) {
            std::vector<uint32_t> values(words.size() / 4);
            std::memcpy(values.data(), words.c_str(), 4 * values.size());
            if (words.size() % 4 != 0 || self.set(state, std::move(values)) != narrows::Status::ok)
                throw nb::value_error("no stack has that state");
        });
}
