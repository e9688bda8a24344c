# Boost.Asio and Boost.Beast, compiled once instead of in every translation unit that includes them (6-9 s each).
#
# mesh_asio   link this to use Asio, Asio-SSL or Beast. Everything in the program sees the same definitions, or the
#             one-definition rule breaks; so they are PUBLIC here and nowhere else.
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/generated/asio)
foreach(part IN ITEMS asio/impl/src asio/ssl/impl/src beast/src)
  string(REPLACE "/" "_" unit ${part})
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/asio/${unit}.cpp CONTENT "#include <boost/${part}.hpp>\n" @ONLY)
  list(APPEND mesh_asio_units ${CMAKE_BINARY_DIR}/generated/asio/${unit}.cpp)
endforeach()

add_library(mesh_asio STATIC EXCLUDE_FROM_ALL ${mesh_asio_units})
target_compile_definitions(mesh_asio PUBLIC BOOST_ASIO_SEPARATE_COMPILATION BOOST_BEAST_SEPARATE_COMPILATION
                                            BOOST_ASIO_NO_DEPRECATED BOOST_BEAST_USE_STD_STRING_VIEW)
target_compile_options(mesh_asio PRIVATE -w)
target_link_libraries(mesh_asio PUBLIC Boost::headers OpenSSL::SSL OpenSSL::Crypto Threads::Threads)
