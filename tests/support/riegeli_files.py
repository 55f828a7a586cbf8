"""Riegeli files of Google's own writer."""

from __future__ import annotations

import base64
import zlib

WRITTEN = [b"", b"one", b"a record longer than a block\n" * 2500, b"four", b"five" * 20]
"""The records given to the writer, two in a chunk. It adds chunks of its own: sizes and offsets."""

GOLDEN = {
    "uncompressed": (
        b"c-rmRO^B3r9Ki8sb|xDIhk>QokYIX8*{Bu-8J1jFB8m>{3kVgAkGs#>va|C%KF_RXCDD6Ohtz|xCLW|iNJbRCT@)9ENQCMdk"
        b"wR@MODLXwVdt5H2RjLR_<Uga^ZS3FmwBE!&PU%Tzb^g!)zv|6C|`FTKQ*}Pv-96}_s{R|J$dnm*)$7o*M8-@JujcAS0BvhnP"
        b"=BsA5PxfnD%t$V)wwFpcuEJ;*}p?syz1F-!CpJEbN}zJ9*%PzeZMe4_}q<2c@45mr7wRjYi{itk#TMo1?VWek*L%!rG>0JUY"
        b"2V6h%=KMNt$*Q4~c{6h%=KMNt$*Q4~c{6h%=KMNt$*Q4~c{6h%=KMNt$*Q4~c{6h%=KMNt$*Q4~c{6h%=KMNt$*Q4~c{6h%="
        b"KMNt$*Q4~c{6h%=KMNt$*Q4~c{6h%=KMNt$*Q4~c{6h%=KMNt$*Q4~c{6h%=KMNt$*Q4~c{6h%=KMNt$*Q4~c{6h%=KMNt$*"
        b"Q4~c{6h%=KMNt$*Q4~c{6h%=KMNt$*Q4~c{6h%=KMNt$*QM{Y6f4Ke3+>XU(cHRgU%rEP#UXCb=q9}@@D2k#eilQirq9}@@D"
        b"Bj0$Jf2R!scd^HIQPlx>pK7O1+$<2GxO!-?swBdXCBG-gTl!8#MbC;ev(IeXEttM`NfX>4o@5#np-<?c28RB%-g!RE`^KA<t"
        b"2@Bp<3*F;PDNc(|9^*WE1a1^@09&8n&_|&Z7Ew*vz8-BphqB<Ho`RHa5l6t+6oOp10}NXgrmqQI<tx{ZrxFjU-INW;1F|WK;"
        b"DQ%0ss<-&2mOM-P{7t@B4p)seo!=%KF%-&pn9`d=<|zRQQtFAsW8AN(T;000000000000000000000000000000000000000"
        b"0000000000000000000000000000000xPwcp=Z3Csy?m@Y$NAcN_|T&l-v8?9=kodN;(gih)m^`*#m>B<dqS~Nsg(acTB`ne"
        b"^78eM&&~e4<^QH@_2D?%``_Tijn3JX_X<xwG&`^+@k;;z000000000000000000000000000000000000000000000000000"
        b"0000000000000000000000000Nh(Q0XnJii2"
    ),
    "brotli": (
        b"c-rmJU1-&190&0K+5d3V$tguyx-*A`pcgt{P(1D>y;?QFCT4{p%rq$RWjhjRMx07BvKmG>Fv}cR7`ZuEGMCiB1C15c*2EVOV"
        b"F?rSBE}*z=oEDR=c0>ly6NWgx%u&Zc)kxmcwX&p9ZtU9v^t2aiRO|1i}mju8a-V)A3ZT6ce^K_*%SQJd+`UR9RDzVW_pzG`="
        b";*H;Lxh`nX+OIqw}XHl^qVUK^TTpW7*xio(bRnef!Dr6+a(LM;DfFy}13@+3S_1VmcKo7N^7y$FjZW;_<NWT>Pn(so0v_s>_"
        b"R>J73vbeITEx>g%|t_s7o6rY9@6#@gTP?z&XHX!_it8}|;^{_yaLmVA3f^!^_W@2-2~T3uhJ_-xQzS}YNp8f2Tp=G3D>FfVA"
        b"DmMb56G4)VSVcVVcZ#}j@y0tJpGWd8+#qmtMm@}pJ-`j0YOr8{GQf)!7t<b%1_?PjCw#1y4Ew?&n|JqnPkdDpTTlMVq@rv2?"
        b"uYJGbRBL^C$C3rP`v(V(E$ABgcw+gMk80;!=~};f<Ic9a@)<LaobA7G_tV7#JKwKgd-anm4PWfp{Q2|!yFU2(x8TsMiNu$SV"
        b"@t={UkN(*?|bltmM41h)rI0Jjko8oJ-Dvn+tvU8000000000000000000000000000000000000000000000000000000000"
        b"0000000000000000000N}s4@N&)EH?D2^sg!p_bK}UF%3$}+_`)a`zM47q*=S-}CM@Rpr9zlYCMS24O}ml1Q#kNlez5J|L)A"
        b"+gYK}IZJi6o0Vs**VWYfxQVyx9S000000000000000000000000000000000000000000000000000000000000000000000"
        b"0000000002|@BRV+!Mfi"
    ),
    "zstd": (
        b"c-rmJPiz!r7zf~)-IbQglBygqG+}FEs$_!{6SdXE9#j%eYtW0L%aq-gg<)r%?TR!)F_;K=Fc3pxJfOxHy<iMVjB==Q(Zp!<B"
        b"u1N56NAMQCp{Fc`zO(ZXAeHlWxn4#^M3C)Ge_TTe4RhG{r;e9qI*60(Wm#FdSUUMUVZV*P4mCJcQI`S|Mb%FpT2AE{bXcAH!"
        b"oc{xohv`-xktLCuh6$*)^HlKDcAKkh$TnVz#}`-W&u;y?So>i^nGpZMwXz`{<2hzwYeYarRnoi+eVNoh{bp+HJYvAb9_LF8A"
        b"U2b`DBUgu%K@R7k74leAKZllpWuEzInR>V>E<87I5<4NN7iGz=b&kL(-^*FL%LvqM)m?i%inTX*94;z<3~H`C6Ppwv6@^<jH"
        b"lxO$~lYA;KV20>w}_H;E2#+Hr^UAgpP<#6A#uXGz;9yoLM;KqCJN^_k&*W2iC=dP_<-8a`xbH8VUf$9EmFuVS`TguaE(rT2O"
        b"wb|<U*5XVW)til^SskB>;%2qjh$`ioq}+a$@?_GgSEBS__ug!CrZRqK@j$I!Ne-0bWO{t-mg4^CnQ|jaqd2a{wdVfu(f)~*F"
        b"`53O;o!<gTUlHU2TSY2Z(5^o$LIEJ`+m7|(8>ARZ+&ge1CKNU00000000000000000000000000000000000000000000000"
        b"0000000000000000000000000000007|s=)!ZG3nwl;w$#gU_xjckL*H)tYT?IXH)r0c4xeg0xSVD?d8F5n&FAy|A7=&^=C5"
        b"3P{>zJ>KlSfn=<trsryqL#bo@uBb<1de``t%Y{oL>y000000000000000000000000000000000000000000000000000000"
        b"0000000000000000000000002~bAJMav%lZ"
    ),
    "snappy": (
        b"c-rmPO=ui-7zg0l>@;0#76TPqF@dEBDu!UZsIg$dA{azgda?DeOuL&JoXm_fiI`BOAA+?9MTIK$AO$ZT{K8s9szj@ZAgw)U("
        b"L*7$6sn@tgCI&Yac2)6dh+0*&%+P?yu-Z1Fmw9tdn-Ft-#>9zP})?U&wudA#uuJme7$#l@zu2p7v4FZ7s0=seDAmWc30-Eu9"
        b"x$%<k#ocwcdC(@9WOh@_MnVuP+R$)oLwGI-kb(Pws16xbmfPYyRsy?kw6{`g=>aUsvfatq#M1BS*vV{i7?%qDJ1?k>>42oF+"
        b"Rvd1L0`C}~8E?Qy!}ku^)hfryBRh=^PcIWQb#D<$BP4Z$b+@7XpS3{0l8`RSK8?^)b1@ypt>+wFSr#+$!8e0E*lZEZob*ZIO"
        b"qC1^IA1Cvvab(X?lGz>Oh_2Cmg9{T8~`SO-8)31^=eeIb%?9N$lb*1?|)L&bjWfwQD*;=a%R@blE@W9SIoy}Us)O=_B){&V!"
        b"N{TEkI^&a3Ty#dVsNI@LTmQ7d*7kHZX-E0o_!UEM7fF<5b0gEy<E<>pqd4xwQ^oZ7SZ&ktQ~PSOgUj7=`8+Z-*j!)v?E2)7y"
        b"Zc{x^Ye?{H@Ruo-u=_R|Jlw0000000000000000000000000000000000000000000000000000000000000000000000000"
        b"02EY#rM(+Bop-w(om$T%Ol{d}i;vFCNN9%6Z}R*0Fo9IrmLo?anv!7OM4nz4r6a;F*OVmYzCs{EJ5~Jq$g$W%S@ZhY!Yobys"
        b"g0t54jvyZ?OVHvj+t000000000000000000000000000000000000000000000000000000000000000000000000000{O|q"
        b"-T0xeE"
    ),
    "transpose": (
        b"c-rmJU1*hc90%~{oaeN)PDiG$9G!y-8IDrZm>8RpIV>2&79lmKNK-RQ=9*K%EYF;<Ik#S<e91tD!SJG1kS|EN<q8~_SW+!p#"
        b"S$vZD3A;<bZwn;F1qNti$0&5|MUIB@8!?a($ny1qOJ1&AZtPPeC7Db`MX+&59RKM4@~U4_-=pW`rw~xe>(ixrA2Q}zdf6KJ`"
        b"64w&3&?|DVoV)_P%a>B6)KV#5SJ3tDrghcyHZ~NEnZ#*VV5IBk>>|hCzAvoaUELu9&>EI$Kh4YVP2^$BtglwYoPM$+Vh~i07"
        b"rF(U}Fuj>KY-vCDAut9D*8vY<FTGpT(;@yfw;c;%f9-HTT3J+)(T`C!c#-`~;k&C&XzDKp0x2C<!ybnLw&vA-t=;h$wsulVS"
        b"e&Wk14xzBWW)!tY6{3A`7aY1gMy25z;hS9m>@~R`5snyA<Aea_Z7WUnAc1v=sTlMHWe(S54II^$jd|S5egY=SZ{nJ|78e^H<"
        b"k?U75w#df3g8Z-}lH3^tD^INNeX4B!<ke?`{96~7y>WHxcZqSSmUP&DFm>U9E5+qiMQ=aRkZg&jc5P`r)bQ4Up>x|`-+bGbL"
        b"$%9ao&9mmvCgi%iie8s-ZYqAz4y|Z{p(8itSK0{r+(S5H4CRK@4b3r*`7^*oPX}l3t_76bnCW}m(s<T>!zklhMNz6GUNB-KY"
        b"o5KyYE2X<`*X|J=hQc000000000000000000000000000000000000000000000000000000000000000000000000000009"
        b"3h?>Eny+Wys&pL2O__I$WBwe{M<uS;iSb7x`6Yxz|}6B@%zo}McR6N$u)=c0w*_Wg2w`<ecMXa7B<UU+oY?gzVeuN}#h&YqK"
        b"~oR`k~p}}te000000000000000000000000000000000000000000000000000000000000000000000000000008*U{RK)S"
        b"$u$"
    ),
}
"""Files of ``ArrayRecordWriter`` in array_record 0.8.6 (PyPI), which are Riegeli's chunks and blocks: zlib,
base 85."""


def golden(name: str) -> bytes:
    return zlib.decompress(base64.b85decode(GOLDEN[name]))
